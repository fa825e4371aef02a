import { assembleCredential } from "../../src/credentials/assemble.ts";
import { pathProblem } from "../../src/credentials/path.ts";
import { expectedRenewal } from "../../src/mesh/agent-renewal.ts";
import type { Credential } from "../../src/mesh/adapter.ts";
import type { BundlePart, Part, WorkloadPart } from "./part.ts";

/** The last of each part that came and could be used. */
export interface Parts {
  readonly workload?: WorkloadPart;
  readonly bundle?: BundlePart;
}

export type Merged =
  /** One of the two has not come yet. */
  | { readonly kind: "partial" }
  /** The chain does not lead to the bundle: the other part of a change may be on its way. */
  | { readonly kind: "torn"; readonly credential: Credential; readonly problem: string }
  | { readonly kind: "whole"; readonly credential: Credential };

export function withPart(parts: Parts, part: Part): Parts {
  return part.name === "default" ? { ...parts, workload: part } : { ...parts, bundle: part };
}

/** Makes one credential of what came in parts, in whatever order. */
export function merge({ workload, bundle }: Parts, now: Date): Merged {
  if (workload === undefined || bundle === undefined) return { kind: "partial" };
  const [leaf] = workload.chain;
  const credential = assembleCredential({
    key: workload.key,
    certificates: workload.chain,
    bundle: bundle.bundle,
    renewalTime: expectedRenewal(leaf),
    now,
  });
  const problem = pathProblem(credential.chain, credential.bundle, { now, clockSkewMs: anyAge });
  return problem === undefined ? { kind: "whole", credential } : { kind: "torn", credential, problem };
}

/** Whether a certificate is current is for attaché's policies to say; it says nothing of what belongs together. */
const anyAge = Infinity;

/** Whether two credentials publish the same; a key is that of its leaf. */
export function isSame(one: Credential, other: Credential): boolean {
  const printsOf = (credential: Credential) => [
    ...credential.chain.map(({ fingerprint }) => fingerprint),
    ...credential.bundle.map(({ fingerprint }) => fingerprint).sort(),
  ];
  return printsOf(one).join() === printsOf(other).join();
}
