import type { MeshCertificate, Status } from "../api/mesh-certificate.ts";
import type { Manifest } from "../render/manifest.ts";
import type { AttacheError } from "../errors/attache-error.ts";

/** A read-only view of an identity: what is wanted, what is reported, what is published. */
export interface IdentityView {
  readonly identity: MeshCertificate;
  /** Absent until a running attaché has looked at the identity. */
  readonly status: Status | undefined;
  manifests(): Promise<Manifest[]>;
}

export interface StoreView {
  /** Sorted by namespace and name. */
  readonly views: readonly IdentityView[];
  /** Why there may be more identities than these. */
  readonly problems: readonly AttacheError[];
}
