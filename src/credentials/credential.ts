import type { KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import type { Crls } from "./crl.ts";
import type { RootRemark } from "./trust-bundle.ts";

/** What a mesh gives for one identity: key, chain and bundle, received together, complete, never mutated. */
export interface Credential {
  /** The leaf's private key. A `KeyObject` prints as nothing, in logs and in JSON alike. */
  readonly key: KeyObject;
  /** Leaf first, then intermediates in issuer order; no self-signed root. */
  readonly chain: readonly [leaf: Certificate, ...intermediates: Certificate[]];
  /** Every root that the mesh wants trusted now; those of federated domains too, where asked for. */
  readonly bundle: readonly Certificate[];
  /** Roots of the mesh that cannot be read; absent if there are none. */
  readonly leftOut?: readonly RootRemark[];
  /** What the mesh says of revoked certificates; absent where it says nothing. */
  readonly crls?: Crls;
  /** When the mesh, or attaché where it signs CSRs itself, is expected to have renewed the leaf. */
  readonly renewalTime?: Date;
}
