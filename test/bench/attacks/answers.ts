import { parseCredential } from "../../../src/credentials/assemble.ts";
import { defaultLimits } from "../../../src/credentials/candidate.ts";
import { CredentialError } from "../../../src/credentials/errors.ts";
import { privateKeyPem } from "../../../src/credentials/keys.ts";
import { admit } from "../../../src/credentials/policies.ts";
import { profileOf } from "../../../src/credentials/profile.ts";
import { parseSpiffeIdPattern } from "../../../src/credentials/spiffe-id.ts";
import { handMadeLeaf, handMadeRoot } from "../../fixtures/der.ts";
import { bundles } from "./bundles.ts";

const root = handMadeRoot();
const leaf = handMadeLeaf(root);

/** How much CPU one answer of a hostile mesh takes, from its bytes to the verdict, and the profile of a certificate. */
export function printAnswers(): void {
  for (const [what, make] of Object.entries(bundles)) {
    const times = Array.from({ length: 6 }, () => {
      const bundle = make();
      const began = process.cpuUsage();
      const verdict = judge(bundle);
      const { user, system } = process.cpuUsage(began);
      return { ms: (user + system) / 1_000, verdict };
    });
    // The first compiles the code.
    const worst = Math.max(...times.slice(1).map(({ ms }) => ms));
    print(what, `${worst.toFixed(1)} ms`, times[0]?.verdict ?? "");
  }

  const repeats = 2_000;
  for (const [what, made, role] of [
    ["profile of a leaf", leaf, "leaf"],
    ["profile of a root", root, "authority"],
  ] as const) {
    const began = process.cpuUsage();
    for (let left = repeats; left > 0; left -= 1) profileOf(made.der, role);
    const { user, system } = process.cpuUsage(began);
    print(what, `${((user + system) / 1_000 / repeats).toFixed(3)} ms`, "goal: 0.3 ms");
  }
}

function judge(bundle: readonly string[]): string {
  const now = new Date();
  try {
    const pieces = { key: privateKeyPem(leaf.key), certificates: leaf.pem, bundle, now };
    const admission = admit({
      credential: parseCredential(pieces),
      expected: {},
      allowed: [parseSpiffeIdPattern("spiffe://**")],
      now,
      clockSkewMs: 60_000,
      limits: defaultLimits,
    });
    return admission.kind === "admitted" ? "admitted" : `rejected: ${admission.rejection.policy}`;
  } catch (error) {
    if (error instanceof CredentialError) return `refused: ${error.problem.slice(0, 60)}`;
    throw error;
  }
}

function print(what: string, time: string, more: string): void {
  process.stdout.write(`${what.padEnd(56)} ${time.padStart(10)}  ${more}\n`);
}
