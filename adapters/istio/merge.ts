import { assembleCredential } from "../../src/credentials/assemble.ts";
import { isIssuedBy } from "../../src/credentials/chain.ts";
import type { Certificate, Credential } from "../../src/mesh/adapter.ts";
import type { BundlePart, Part, WorkloadPart } from "./part.ts";
import { expectedRenewal } from "./renewal.ts";

/** The last of each part that came and could be used. */
export interface Parts {
  readonly workload?: WorkloadPart;
  readonly bundle?: BundlePart;
}

export type Merged =
  /** One of the two has not come yet. */
  | { readonly kind: "partial" }
  /** The leaf does not lead to the bundle: the other part of a change may be on its way. */
  | { readonly kind: "torn"; readonly credential: Credential }
  | { readonly kind: "whole"; readonly credential: Credential };

export function withPart(parts: Parts, part: Part): Parts {
  return part.name === "default" ? { ...parts, workload: part } : { ...parts, bundle: part };
}

/** Makes one credential of what came in parts, in whatever order. */
export function merge({ workload, bundle }: Parts, now: Date): Merged {
  if (workload === undefined || bundle === undefined) return { kind: "partial" };
  const credential = assembleCredential({
    key: workload.key,
    certificates: workload.certificates,
    bundle: bundle.bundle,
    renewalTime: expectedRenewal(workload.leaf),
    now,
  });
  return { kind: leadsToBundle(credential) ? "whole" : "torn", credential };
}

/** Whether two credentials publish the same; a key is that of its leaf. */
export function isSame(one: Credential, other: Credential): boolean {
  const printsOf = (credential: Credential) => [
    ...credential.chain.map(({ fingerprint }) => fingerprint),
    ...credential.bundle.map(({ fingerprint }) => fingerprint).sort(),
  ];
  return printsOf(one).join() === printsOf(other).join();
}

/** Each of the chain stands behind one that it signed, so it is enough that one leads on to a root. */
function leadsToBundle({ chain, bundle }: Credential): boolean {
  const isRoot = ({ fingerprint }: Certificate) => bundle.some((root) => root.fingerprint === fingerprint);
  return chain.some((one) => isRoot(one) || bundle.some((root) => isIssuedBy(one, root)));
}
