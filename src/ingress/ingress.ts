import type { IdentityKey, MeshCertificate } from "../api/mesh-certificate.ts";
import type { IdentityRef } from "../store/store.ts";

/** What the ingress makes of what is published. Whoever publishes tells what to expect, and may ask how far it has come. */
export interface Ingress extends AsyncDisposable {
  /** This is published for the identity from now on, and to be served. The same again changes nothing, unless it was written. */
  expect(identity: MeshCertificate, target: Expected): void;
  /** Nobody expects anything for the identity any more. */
  forget(identity: IdentityRef): void;
  /** How far it has come with what is expected; costs nothing. */
  servedOf(identity: IdentityRef): Served;
  /** Calls `listener` whenever {@link servedOf} says something new of an identity. */
  onChange(listener: (key: IdentityKey) => void): Disposable;
  /** How its pods are, as last seen; absent where none are known. */
  readonly health?: IngressHealth | undefined;
}

export interface IngressHealth {
  /** How many pods answered when they were last asked, were silent, or take no configuration at all. */
  readonly pods: { readonly answering: number; readonly silent: number; readonly frozen: number };
  /** How many Mappings and the like send without a client certificate now. */
  readonly exposed: number;
}

/** Of a target, what an ingress shows of it. */
export interface Expected {
  /** Of the leaf; seen to the second. */
  readonly leafNotAfter: Date;
  /** Of the first root of the CA Secret, the only one that is seen; to the second. */
  readonly rootNotAfter: Date;
  /** Tells one target from another where the times are the same. */
  readonly fingerprint: string;
  /** Whether any of it was written just now. */
  readonly isWritten: boolean;
}

/** A finding, as a condition has it. */
export interface Served {
  readonly status: "True" | "False" | "Unknown";
  /** One CamelCase word. */
  readonly reason: string;
  /** What is so and what to do; equal as long as the finding is. */
  readonly message: string;
  /**
   * Whether it is worth to wait: a pod that answers, and is not known to refuse configuration, may take what is expected at any moment.
   * Never true because of a pod that is unknown, dead or frozen.
   */
  readonly isPending: boolean;
}

/** Where no ingress is configured, and so nobody knows. */
export const notConfigured: Served = {
  status: "Unknown",
  reason: "NotConfigured",
  message:
    "Whether the ingress has loaded what is published is not looked at: name it under `emissary:` in the settings.",
  isPending: false,
};
