import type { IdentityKey } from "../api/mesh-certificate.ts";
import type { PolicyName } from "../credentials/candidate.ts";
import type { Code } from "../errors/codes.ts";
import type { RotationCause } from "../telemetry/counters.ts";

/** What the reconcilers report, for metrics and other observers. */
export interface Observer {
  /** A new credential is in the store, `propagationMs` after the mesh gave it. */
  published(rotation: {
    readonly identity: IdentityKey;
    readonly mesh: string;
    readonly cause: RotationCause;
    readonly propagationMs: number;
  }): void;
  /** The store was asked to hold a target, and wrote so many objects of it. */
  applied(writes: number): void;
  rejected(rejection: { readonly mesh: string; readonly policy: PolicyName }): void;
  meshError(failure: { readonly mesh: string; readonly code: Code }): void;
  storeError(code: Code): void;
}
