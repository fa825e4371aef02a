import type { Certificate } from "./certificate.ts";
import type { Credential } from "./credential.ts";
import type { SpiffeIdPattern } from "./spiffe-id.ts";

/** All that the policies look at. */
export interface Candidate {
  readonly credential: Credential;
  readonly expected: {
    /** The ID itself, or its shape where the mesh chooses a part of it. */
    readonly spiffeId?: string | SpiffeIdPattern;
    readonly trustDomain?: string;
  };
  /** The identities that the requester may have. */
  readonly allowed: readonly SpiffeIdPattern[];
  /**
   * The roots that would be published with it, in order: also those that the mesh has dropped and that are
   * retained.
   */
  readonly publishedBundle?: () => readonly Certificate[];
  /** What is published now for the same target. */
  readonly published?: Credential;
  readonly now: Date;
  /** How far the clocks of the mesh, of its workloads and ours may disagree. */
  readonly clockSkewMs: number;
  readonly limits: Limits;
}

export interface Limits {
  /** The most that the data of one Secret may take, in bytes, as base64. */
  readonly secretBytes: number;
  /** The most certificates that the trust bundle of a mesh may have: each costs time with each credential. */
  readonly bundleCertificates: number;
}

/**
 * Kubernetes allows 1 MiB before base64; the third that base64 adds is left for retained roots and metadata.
 */
export const defaultLimits: Limits = { secretBytes: 1024 * 1024, bundleCertificates: 64 };

/** Why a credential is not published. Holds nothing secret, and reads the same for as long as it is true. */
export interface Rejection {
  readonly policy: PolicyName;
  /** The fact. */
  readonly message: string;
  /** What to do. */
  readonly remedy: string;
  /**
   * When time alone may change the verdict, as the mesh may not send the credential again: ask again then.
   */
  readonly reviewAt?: Date;
}

export type Admission =
  { readonly kind: "admitted" } | { readonly kind: "rejected"; readonly rejection: Rejection };

/** One named, pure check; the reason why `candidate` fails it, or nothing. */
export interface Policy {
  readonly name: PolicyName;
  readonly check: (candidate: Candidate) => Rejection | undefined;
}

export type PolicyName =
  | "is-within-limits"
  | "readable-by-envoy-and-emissary"
  | "key-matches-leaf"
  | "chain-is-ordered-and-leads-to-bundle"
  | "leaf-is-current"
  | "is-not-revoked"
  | "identity-is-expected"
  | "identity-is-allowed"
  | "key-is-strong"
  | "not-a-replay";
