import { Counter, Histogram, type Registry } from "prom-client";
import type { Code } from "../errors/codes.ts";

/** What is counted as it happens. */
export interface Events {
  /** A new credential was published, `propagationMs` after the mesh gave it. */
  published(rotation: {
    readonly mesh: string;
    readonly cause: RotationCause;
    readonly propagationMs: number;
  }): void;
  /** The store was asked to hold a target, and wrote so many objects of it. */
  applied(writes: number): void;
  /** A policy did not admit what the mesh gave. */
  rejected(rejection: { readonly mesh: string; readonly policy: string }): void;
  meshError(failure: { readonly mesh: string; readonly code: Code }): void;
  storeError(code: Code): void;
  /** All pods of the ingress have loaded what was published so many milliseconds before. */
  served(ms: number): void;
  /** An Emissary that had missed something was made to read everything anew. */
  nudged(): void;
}

const causes = ["initial", "leaf", "root", "both"] as const;
export type RotationCause = (typeof causes)[number];

/** @param labelOf the label for a mesh, so that nobody makes up labels by naming meshes. */
export function countEvents(registers: Registry[], labelOf: (mesh: string) => string): Events {
  const rotations = new Counter({
    name: "attache_rotations_total",
    help: "New credentials published, by what was new.",
    labelNames: ["mesh", "cause"],
    registers,
  });
  const propagation = new Histogram({
    name: "attache_publish_duration_seconds",
    help: "From a mesh giving a credential to the store having it.",
    labelNames: ["mesh"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const served = new Histogram({
    name: "attache_serve_duration_seconds",
    help: "From the store having a credential to all pods of the ingress having loaded it.",
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers,
  });
  const nudges = new Counter({
    name: "attache_touches_total",
    help: "TLSContexts that were touched because the ingress had missed a rotation.",
    registers,
  });
  const rejections = new Counter({
    name: "attache_credential_rejections_total",
    help: "Credentials that failed a policy.",
    labelNames: ["mesh", "policy"],
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
    help: "Targets that the store was found to hold already, so that nothing was written.",
    registers,
  });

  return {
    published({ mesh, cause, propagationMs }) {
      const label = labelOf(mesh);
      // From the first one on all causes are there: a rate needs a zero to begin with.
      for (const each of causes) rotations.inc({ mesh: label, cause: each }, each === cause ? 1 : 0);
      // The clock may have been set back in between.
      propagation.observe({ mesh: label }, Math.max(0, propagationMs) / 1_000);
    },
    applied(count) {
      if (count > 0) writes.inc(count);
      else unchanged.inc();
    },
    rejected: ({ mesh, policy }) => rejections.inc({ mesh: labelOf(mesh), policy }),
    meshError({ mesh, code }) {
      if (code === "ATTACHE_INTERNAL") bugs.inc();
      else meshErrors.inc({ mesh: labelOf(mesh), code });
    },
    served: (ms) => served.observe(ms / 1_000),
    nudged: () => nudges.inc(),
    storeError(code) {
      if (code === "ATTACHE_INTERNAL") bugs.inc();
      else storeErrors.inc({ code });
    },
  };
}
