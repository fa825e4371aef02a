import { readCertificates } from "../../../src/credentials/certificates.ts";
import { isSameSpiffeId } from "../../../src/credentials/spiffe-id.ts";
import { printable } from "../../../src/text/printable.ts";
import { type Certificate, MeshError } from "../../../src/mesh/adapter.ts";
import { readingInSlices } from "../../../src/mesh/kit/errors.ts";
import { tornProblem } from "../../../src/mesh/kit/pair-assembler.ts";

/** What the CA has signed, and the roots that it stands for. */
export interface SignedReply {
  /** Leaf first. */
  readonly chain: readonly [leaf: Certificate, ...intermediates: Certificate[]];
  readonly roots: readonly Certificate[];
}

/**
 * @param certChain as the CA sends it: the last element is every root; what is before it, one certificate an
 *   element as a rule, leads from the leaf to one of them.
 * @throws MeshError if it is anything else.
 */
export async function readReply(certChain: readonly string[]): Promise<SignedReply> {
  const { chain, roots } = await readingInSlices("istiod's reply", async () => ({
    chain: await readCertificates(...certChain.slice(0, -1)),
    roots: await readCertificates(...certChain.slice(-1)),
  }));
  const [leaf, ...intermediates] = chain;
  if (leaf !== undefined && roots.length > 0) return { chain: [leaf, ...intermediates], roots };
  throw new MeshError("ATTACHE_MESH_MALFORMED", "istiod's reply has no certificate, or no root");
}

/**
 * @throws MeshError if the leaf has another identity: istiod signs for the token's identity, whatever the CSR
 * says.
 */
export function assertIs({ chain: [leaf] }: SignedReply, spiffeId: string): void {
  const [given = "no SPIFFE ID", ...others] = leaf.uris;
  if (isSameSpiffeId(given, spiffeId) && others.length === 0) return;
  const trustDomain = /^spiffe:\/\/([^/]+)\//.exec(given)?.[1];
  throw new MeshError(
    "ATTACHE_MESH_IDENTITY_REFUSED",
    `istiod gave ${printable([given, ...others].join(", "))} in place of ${spiffeId}`,
    {
      remedy:
        trustDomain !== undefined && given.endsWith(spiffeId.replace(/^spiffe:\/\/[^/]+/, ""))
          ? `Set \`trustDomain: ${printable(trustDomain)}\` in the settings of the mesh, if that is its trust domain.`
          : "Check that `address` is that of the mesh's own CA.",
    },
  );
}

/** Whether the chain leads to one of the roots, whatever the age of either. */
export function leadsTo({ chain }: SignedReply, roots: readonly Certificate[], now: Date): boolean {
  return tornProblem({ chain, bundle: roots }, now) === undefined;
}
