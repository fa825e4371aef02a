import type { IdentityKey, MeshCertificate } from "../api/mesh-certificate.ts";
import type { Credential } from "../credentials/credential.ts";
import type { Retention } from "../credentials/trust-bundle.ts";
import type { IdentityRef } from "../store/store.ts";
import type { IngressState, QueueState } from "../telemetry/state.ts";
import type { EmissaryEvaluation } from "./observation.ts";

/** Reports how far the ingress has loaded what is published. */
export interface Ingress extends AsyncDisposable {
  /**
   * Expects the ingress to serve `target`. Calling it again with the same target changes nothing, unless it
   * was written.
   */
  expect(identity: MeshCertificate, target: Expected): void;
  /** Ends what is expected for the identity. */
  forget(identity: IdentityRef): void;
  /** The last result for the identity; costs nothing. */
  servedOf(identity: IdentityRef): Served;
  /** What each pod has loaded of the identity, for each Emissary that sees it; evaluates it now. */
  loadedOf?(identity: IdentityRef): readonly EmissaryEvaluation[] | undefined;
  /** Calls `listener` whenever {@link servedOf} changes for an identity. */
  onChange(listener: (key: IdentityKey) => void): Disposable;
  /** Absent where no ingress is configured. */
  readonly health?: IngressState | undefined;
  /** The keys that wait in its work queues. */
  readonly queue?: QueueState;
  /** The Emissaries of the settings, as `NAMESPACE/SERVICE`. */
  readonly emissaries?: readonly string[];
}

/** The part of a target that an ingress shows. */
export interface Expected {
  /** Of the leaf; compared to the second. */
  readonly leafNotAfter: Date;
  /** Of the first root of the CA Secret, the only one that Envoy reports; compared to the second. */
  readonly rootNotAfter: Date;
  /** Distinguishes targets with equal times. */
  readonly fingerprint: string;
  /** Whether any of it was just written. */
  readonly isWritten: boolean;
}

/** `undefined` while there are no roots. */
export function expectedOf(
  { chain: [leaf] }: Credential,
  { bundle }: Pick<Retention, "bundle">,
  isWritten: boolean,
): Expected | undefined {
  const [root] = bundle;
  if (root === undefined) return undefined;
  const fingerprint = [leaf, ...bundle].map((one) => one.fingerprint).join();
  return { leafNotAfter: leaf.notAfter, rootNotAfter: root.notAfter, fingerprint, isWritten };
}

/** The condition `Served` of an identity. */
export interface Served {
  readonly status: "True" | "False" | "Unknown";
  /** One CamelCase word. */
  readonly reason: string;
  /** The finding and its remedy; equal for equal findings. */
  readonly message: string;
  /**
   * Whether waiting is worthwhile: a pod that answers, and does not refuse configuration, may load what is
   * expected at any moment. Never true because of a pod that is unknown, silent or frozen.
   */
  readonly isPending: boolean;
}

/** Where no ingress is configured. */
export const notConfigured: Served = {
  status: "Unknown",
  reason: "NotConfigured",
  message:
    "attaché does not look at whether the ingress has loaded what is published: name it under `emissary:` in the settings.",
  isPending: false,
};
