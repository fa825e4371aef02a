import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  judgedCredentials,
  type JudgedCredential,
  stricterRules,
} from "../../test/fixtures/judged-credentials.ts";
import { judge } from "../../test/fixtures/judge.ts";

const credentials = await judgedCredentials();
const rules = await stricterRules();

describe("credentials that programs have judged differently", () => {
  it.each(credentials)("$verdict: $what", (given: JudgedCredential) => {
    const { verdict, because } = judge(given);
    expect(verdict, because).toBe(given.verdict);
  });
});

describe("the rules that are stricter than Envoy, Go and OpenSSL", () => {
  it.each(rules)("$what", (given) => {
    const { verdict, because } = judge(given);
    expect(verdict).toBe("rejected");
    expect(because).toMatch(given.because);
  });

  it("stand in the documentation, one row for each, at most ten", async () => {
    const page = await readFile(new URL("../../docs/certificates.md", import.meta.url), "utf8");
    const rows = [...page.matchAll(/^\| \*\*(?<rule>[^*]+)\*\*/gm)].map(({ groups }) => groups?.["rule"]);
    expect(rows).toEqual(rules.map(({ what }) => what));
    expect(rows.length).toBeLessThanOrEqual(10);
  });
});
