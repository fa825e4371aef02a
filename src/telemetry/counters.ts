import { Counter, Histogram, type Registry } from "prom-client";
import { type Code, codes } from "../errors/codes.ts";
import { definitions, described, type LabelOf, type NameOf } from "./definitions.ts";

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
  /** A mesh has given a credential, or has failed to; `ms` after it was asked, if it is the first answer. */
  meshRequest(answer: MeshAnswer): void;
  storeError(code: Code): void;
  /** All pods of the ingress have loaded what was published, `ms` after it was written. */
  served(ms: number): void;
  /**
   * An object of this kind was touched, so that an Emissary that missed a change reads everything again.
   * @param emissary which one has missed it, if that is known.
   */
  touched(kind: TouchedKind, emissary?: string): void;
  /** Has the touches of an Emissary begin at 0. */
  watchesEmissary(emissary: string): void;
  /** A term of leadership has begun. */
  led(): void;
  /** A work queue has worked on a key. */
  reconciled(result: ReconcileResult, ms: number): void;
  /** The API server has answered a request; without a status it was not reached. */
  kubeRequest(verb: KubeVerb, status: number | undefined): void;
}

interface MeshAnswer {
  readonly mesh: string;
  readonly code: Code | "OK";
  readonly ms?: number | undefined;
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
  const counter = <N extends NameOf<"counter">>(name: N) =>
    new Counter<LabelOf<N>>({ ...described(name), registers });
  const histogram = <N extends NameOf<"histogram">>(name: N) =>
    new Histogram<LabelOf<N>>({ ...described(name), buckets: [...definitions[name].buckets], registers });
  const rotations = counter("attache_rotations_total");
  const publishDuration = histogram("attache_publish_duration_seconds");
  const serveDuration = histogram("attache_serve_duration_seconds");
  const touches = counter("attache_touches_total");
  const rejections = counter("attache_credential_rejections_total");
  const unknownRoots = counter("attache_unknown_roots_total");
  const meshRequests = counter("attache_mesh_requests_total");
  const meshDuration = histogram("attache_mesh_request_duration_seconds");
  const loginFailures = counter("attache_mesh_login_failures_total");
  const storeErrors = counter("attache_store_errors_total");
  const bugs = counter("attache_internal_errors_total");
  const writes = counter("attache_store_writes_total");
  const unchanged = counter("attache_store_unchanged_total");
  const reconciles = counter("attache_reconcile_total");
  const reconcileDuration = histogram("attache_reconcile_duration_seconds");
  const leaderChanges = counter("attache_leader_changes_total");
  const kubeRequests = counter("attache_kube_requests_total");

  for (const mesh of meshes) {
    publishDuration.zero({ mesh });
    unknownRoots.inc({ mesh }, 0);
    for (const cause of causes) rotations.inc({ mesh, cause }, 0);
    for (const policy of policies) rejections.inc({ mesh, policy }, 0);
    for (const code of ["OK", ...codesOf("ATTACHE_MESH_")]) meshRequests.inc({ mesh, code }, 0);
    meshDuration.zero({ mesh });
    loginFailures.inc({ mesh }, 0);
  }
  for (const code of [...codesOf("ATTACHE_STORE_"), ...codesOf("ATTACHE_KUBERNETES_")])
    storeErrors.inc({ code }, 0);
  const watchesEmissary = (emissary: string) => {
    for (const kind of touchedKinds) touches.inc({ emissary, kind }, 0);
  };
  watchesEmissary("");
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
    meshRequest({ mesh, code, ms }) {
      if (code === "ATTACHE_INTERNAL") bugs.inc();
      else meshRequests.inc({ mesh: labelOf(mesh), code });
      if (ms !== undefined) meshDuration.observe({ mesh: labelOf(mesh) }, ms / 1_000);
      if (code === "ATTACHE_MESH_UNAUTHENTICATED") loginFailures.inc({ mesh: labelOf(mesh) });
    },
    storeError(code) {
      if (code === "ATTACHE_INTERNAL") bugs.inc();
      else storeErrors.inc({ code });
    },
    served: (ms) => serveDuration.observe(ms / 1_000),
    touched: (kind, emissary = "") => touches.inc({ emissary, kind }),
    watchesEmissary,
    led: () => leaderChanges.inc(),
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
