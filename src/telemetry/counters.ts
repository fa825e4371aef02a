import { Counter, Histogram, type Registry } from "prom-client";
import { type Code, codes } from "../errors/codes.ts";

/** Counts events as they happen. */
export interface Counters {
  /** A new credential was published, `propagationMs` after the mesh gave it. */
  published(rotation: {
    readonly mesh: string;
    readonly cause: RotationCause;
    readonly propagationMs: number;
  }): void;
  /** The store holds a target, for which it wrote `writes` objects. */
  applied(writes: number): void;
  /** A policy refused a credential. */
  rejected(rejection: { readonly mesh: string; readonly policy: string }): void;
  /** A root stood in what was published that neither the mesh nor the last status knows. */
  unknownRoot(found: { readonly mesh: string }): void;
  meshError(failure: { readonly mesh: string; readonly code: Code }): void;
  storeError(code: Code): void;
  /** All pods of the ingress have loaded what was published, `ms` after it was written. */
  served(ms: number): void;
  /** An object of this kind was touched, so that an Emissary that missed a change reads everything again. */
  touched(kind: TouchedKind): void;
  /** A work queue has worked on a key. */
  reconciled(result: ReconcileResult, ms: number): void;
  /** The API server has answered a request; without a status it was not reached. */
  kubeRequest(verb: KubeVerb, status: number | undefined): void;
}

const causes = ["initial", "leaf", "root", "both"] as const;
/** The reason for a publication: the first credential, a new leaf, other roots, or both. */
export type RotationCause = (typeof causes)[number];

const touchedKinds = ["TLSContext", "Mapping", "TCPMapping"] as const;
type TouchedKind = (typeof touchedKinds)[number];

const reconcileResults = ["success", "requeue", "error"] as const;
type ReconcileResult = (typeof reconcileResults)[number];

const kubeVerbs = ["get", "list", "watch", "create", "update", "patch", "apply", "delete"] as const;
export type KubeVerb = (typeof kubeVerbs)[number];

/** These begin at 0. Another status of the API server has a series from its first occurrence on. */
const kubeCodes = ["200", "201", "403", "404", "409", "410", "422", "429", "500", "503", "<error>"];

interface CountersOptions {
  readonly registers: Registry[];
  /** The configured meshes, and the one label for all others. */
  readonly meshes: readonly string[];
  readonly policies: readonly string[];
  /** The label for a mesh: names in MeshCertificates must not create labels. */
  readonly labelOf: (mesh: string) => string;
}

/** All series of closed label sets begin at 0: a rate needs a zero to begin with. */
export function createCounters({ registers, meshes, policies, labelOf }: CountersOptions): Counters {
  const rotations = new Counter({
    name: "attache_rotations_total",
    help: "New credentials published, by what was new.",
    labelNames: ["mesh", "cause"],
    registers,
  });
  const publishDuration = new Histogram({
    name: "attache_publish_duration_seconds",
    help: "From a mesh giving a credential to the store having it.",
    labelNames: ["mesh"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const serveDuration = new Histogram({
    name: "attache_serve_duration_seconds",
    help: "From the store having a credential to all pods of the ingress having loaded it.",
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers,
  });
  const touches = new Counter({
    name: "attache_touches_total",
    help: "Objects touched because the ingress had missed a change, by kind.",
    labelNames: ["kind"],
    registers,
  });
  const rejections = new Counter({
    name: "attache_credential_rejections_total",
    help: "Credentials that failed a policy.",
    labelNames: ["mesh", "policy"],
    registers,
  });
  const unknownRoots = new Counter({
    name: "attache_unknown_roots_total",
    help: "Roots found in what is published that neither the mesh nor the status of the identity knows.",
    labelNames: ["mesh"],
    registers,
  });
  const meshErrors = new Counter({
    name: "attache_mesh_errors_total",
    help: "Failures of meshes to give a credential.",
    labelNames: ["mesh", "code"],
    registers,
  });
  const storeErrors = new Counter({
    name: "attache_store_errors_total",
    help: "Failures of the store.",
    labelNames: ["code"],
    registers,
  });
  const bugs = new Counter({
    name: "attache_internal_errors_total",
    help: "Failures of attaché itself: each is a bug.",
    registers,
  });
  const writes = new Counter({
    name: "attache_store_writes_total",
    help: "Objects written to the store.",
    registers,
  });
  const unchanged = new Counter({
    name: "attache_store_unchanged_total",
    help: "Targets that the store already held, so that nothing was written.",
    registers,
  });
  const reconciles = new Counter({
    name: "attache_reconcile_total",
    help: "Keys worked on by the work queues, by result.",
    labelNames: ["result"],
    registers,
  });
  const reconcileDuration = new Histogram({
    name: "attache_reconcile_duration_seconds",
    help: "How long a work queue worked on one key.",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const kubeRequests = new Counter({
    name: "attache_kube_requests_total",
    help: "Requests to the API server, by verb and status.",
    labelNames: ["verb", "code"],
    registers,
  });

  for (const mesh of meshes) {
    publishDuration.zero({ mesh });
    unknownRoots.inc({ mesh }, 0);
    for (const cause of causes) rotations.inc({ mesh, cause }, 0);
    for (const policy of policies) rejections.inc({ mesh, policy }, 0);
    for (const code of codesOf("ATTACHE_MESH_")) meshErrors.inc({ mesh, code }, 0);
  }
  for (const code of [...codesOf("ATTACHE_STORE_"), ...codesOf("ATTACHE_KUBERNETES_")])
    storeErrors.inc({ code }, 0);
  for (const kind of touchedKinds) touches.inc({ kind }, 0);
  for (const result of reconcileResults) reconciles.inc({ result }, 0);
  for (const verb of kubeVerbs) for (const code of kubeCodes) kubeRequests.inc({ verb, code }, 0);

  return {
    published({ mesh, cause, propagationMs }) {
      rotations.inc({ mesh: labelOf(mesh), cause });
      // The clock may have been set back in between.
      publishDuration.observe({ mesh: labelOf(mesh) }, Math.max(0, propagationMs) / 1_000);
    },
    applied(count) {
      if (count > 0) writes.inc(count);
      else unchanged.inc();
    },
    rejected: ({ mesh, policy }) => rejections.inc({ mesh: labelOf(mesh), policy }),
    unknownRoot: ({ mesh }) => unknownRoots.inc({ mesh: labelOf(mesh) }),
    meshError({ mesh, code }) {
      if (code === "ATTACHE_INTERNAL") bugs.inc();
      else meshErrors.inc({ mesh: labelOf(mesh), code });
    },
    storeError(code) {
      if (code === "ATTACHE_INTERNAL") bugs.inc();
      else storeErrors.inc({ code });
    },
    served: (ms) => serveDuration.observe(ms / 1_000),
    touched: (kind) => touches.inc({ kind }),
    reconciled(result, ms) {
      reconciles.inc({ result });
      reconcileDuration.observe(ms / 1_000);
    },
    kubeRequest: (verb, status) => kubeRequests.inc({ verb, code: String(status ?? "<error>") }),
  };
}

function codesOf(prefix: string): string[] {
  return Object.keys(codes).filter((code) => code.startsWith(prefix));
}
