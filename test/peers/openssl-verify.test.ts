import fc from "fast-check";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assembleCredential } from "../../src/credentials/assemble.ts";
import { defaultLimits } from "../../src/credentials/candidate.ts";
import type { Certificate } from "../../src/credentials/certificate.ts";
import { admit } from "../../src/credentials/policies.ts";
import { parseSpiffeIdPattern } from "../../src/credentials/spiffe-id.ts";
import { presentable } from "../../src/credentials/trust-bundle.ts";
import { recipes, sceneBuilder } from "../fixtures/random-pki.ts";

/** As `src/credentials/agreement.test.ts`, with another verifier and at a time of our choice. */
describe("what a mesh may send, sound or broken, in any order", () => {
  const now = new Date("2031-02-03T04:05:06Z");
  const build = sceneBuilder(now);
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "attache-openssl-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("is admitted if and only if openssl verifies it", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(recipes, async (recipe) => {
        const { leaf, certificates, bundle } = await build(recipe);
        const credential = assembleCredential({
          // openssl is not shown the key, so a wrong one is not what this is about.
          key: leaf.key,
          certificates: certificates.map(({ certificate }) => certificate),
          bundle: bundle.map(({ certificate }) => certificate),
          now,
        });
        const verdict = admit({
          credential,
          expected: {},
          allowed: [parseSpiffeIdPattern("spiffe://**")],
          now,
          clockSkewMs: 0,
          limits: defaultLimits,
        });
        const { chain } = credential;
        const roots = presentable(credential.bundle, now, chain).bundle;
        const outputs = [await verify(chain, roots, ["-partial_chain"]), await verify(chain, roots, [])];
        const isVerified =
          outputs[0]?.endsWith(": OK\n") === true && /: OK\n$|issuer cert/.test(outputs[1] ?? "");
        expect(isVerified, `${JSON.stringify(verdict)} ${outputs.join("")}`).toBe(
          verdict.kind === "admitted",
        );
      }),
      { numRuns: 400 },
    );
  });

  /**
   * Under the roots as they would be published. BoringSSL accepts any CA among them as an anchor, and also
   * checks what stands
   * above it among them: openssl does the one or the other.
   */
  async function verify(
    [leaf, ...intermediates]: readonly Certificate[],
    roots: readonly Certificate[],
    more: readonly string[],
  ): Promise<string> {
    if (roots.length === 0) return "no root\n";
    const files = { leaf: [leaf], untrusted: intermediates, root: roots };
    for (const [name, list] of Object.entries(files)) {
      await writeFile(path.join(folder, name), list.map((one) => one?.toPem()).join(""));
    }
    const options = [
      ...["-attime", String(now.getTime() / 1000), "-purpose", "sslclient"],
      ...["-no-CAfile", "-no-CApath", "-no-CAstore", "-trusted", "root"],
      ...(intermediates.length > 0 ? ["-untrusted", "untrusted"] : []),
      ...more,
    ];
    try {
      const { stdout } = await run("openssl", ["verify", ...options, "leaf"], { cwd: folder });
      return stdout;
    } catch (error) {
      // Exit status 2: it does not verify. Anything else is no verdict.
      if (error instanceof Error && "code" in error && error.code === 2) return `${error.message}\n`;
      throw error;
    }
  }
});

const run = promisify(execFile);
