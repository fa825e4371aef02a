import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cases } from "../../test/fixtures/cases.ts";
import { handshakeProblem } from "../../test/fixtures/handshake.ts";
import type { Issued } from "../../test/fixtures/pki.ts";
import { recipes, type Scene, sceneBuilder } from "../../test/fixtures/random-pki.ts";
import { assembleCredential } from "./assemble.ts";
import { defaultLimits } from "./candidate.ts";
import type { Credential } from "./credential.ts";
import { admit } from "./policies.ts";
import { parseSpiffeIdPattern } from "./spiffe-id.ts";
import { presentable } from "./trust-bundle.ts";

describe("what a mesh may send, sound or broken, in any order", { tags: ["search"] }, () => {
  // A handshake looks at the machine's clock, so all dates of the scenes keep a day's distance from it.
  const now = new Date();
  const build = sceneBuilder(now);

  it("is admitted if and only if a TLS server that trusts the bundle accepts it", async () => {
    await fc.assert(
      fc.asyncProperty(recipes, async (recipe) => {
        const scene = await build(recipe);
        const credential = assemble(scene, now);
        const verdict = admit({
          credential,
          expected: {},
          allowed: [parseSpiffeIdPattern("spiffe://example.org/**")],
          now,
          clockSkewMs: 0,
          limits: defaultLimits,
        });

        const isAccepted = await acceptedBy(scene, credential.chain, now);
        expect(isAccepted, JSON.stringify(verdict)).toBe(verdict.kind === "admitted");
        if (!isAccepted) expect(await acceptedBy(scene, unassembled(scene, now), now)).toBe(false);
      }),
      { numRuns: cases(40, 1_000) },
    );
  });
});

function assemble({ key, certificates, bundle }: Scene, now: Date): Credential {
  const certificatesOf = (list: readonly Issued[]) => list.map(({ certificate }) => certificate);
  return assembleCredential({
    key: key.key,
    certificates: certificatesOf(certificates),
    bundle: certificatesOf(bundle),
    now,
  });
}

/** Everything as it came but what leads OpenSSL astray, so that a certificate that we lost would show. */
function unassembled({ leaf, certificates }: Scene, now: Date): Credential["chain"] {
  const others = certificates
    .map(({ certificate }) => certificate)
    .filter(
      (one) => one.fingerprint !== leaf.certificate.fingerprint && !one.isSelfSigned && one.notAfter > now,
    );
  return [leaf.certificate, ...others];
}

/**
 * Under the roots as they would be published, in their order. BoringSSL accepts any CA of the bundle as an
 * anchor, but checks also what stands above it in the bundle: OpenSSL does the one or the other.
 */
async function acceptedBy({ key, bundle }: Scene, chain: Credential["chain"], now: Date): Promise<boolean> {
  const roots = presentable(
    bundle.map(({ certificate }) => certificate),
    now,
    chain,
  ).bundle.map((root) => root.toPem());
  const client = { key: key.keyPem, chain: chain.map((certificate) => certificate.toPem()) };
  if ((await handshakeProblem(client, roots)) !== undefined) return false;
  const problem = await handshakeProblem(client, roots, { allowPartialTrustChain: false });
  return problem === undefined || problem.includes("UNABLE_TO_GET_ISSUER_CERT");
}
