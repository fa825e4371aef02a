import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { handshakeProblem } from "../../test/fixtures/handshake.ts";
import type { Issued } from "../../test/fixtures/pki.ts";
import { recipes, type Scene, sceneBuilder } from "../../test/fixtures/random-pki.ts";
import { assembleCredential } from "./assemble.ts";
import { defaultLimits } from "./candidate.ts";
import type { Credential } from "./credential.ts";
import { admit } from "./policies.ts";
import { parseSpiffeIdPattern } from "./spiffe-id.ts";

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

        const isAccepted = await acceptedBy(scene, credential.chain);
        expect(isAccepted, JSON.stringify(verdict)).toBe(verdict.kind === "admitted");
        if (!isAccepted) expect(await acceptedBy(scene, unassembled(scene, now))).toBe(false);
      }),
      { numRuns: 120 },
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
function unassembled({ leaf, certificates }: Scene, now: Date): Scene["leaf"]["certificate"][] {
  const others = certificates
    .map(({ certificate }) => certificate)
    .filter(
      (one) => one.fingerprint !== leaf.certificate.fingerprint && !one.isSelfSigned && one.notAfter > now,
    );
  return [leaf.certificate, ...others];
}

/** Root by root: given several, OpenSSL would follow the first that fits, also one that leads nowhere. */
async function acceptedBy({ key, bundle }: Scene, chain: Credential["bundle"]): Promise<boolean> {
  const client = { key: key.keyPem, chain: chain.map((certificate) => certificate.toPem()) };
  for (const root of bundle) {
    if ((await handshakeProblem(client, [root.pem])) === undefined) return true;
  }
  return false;
}
