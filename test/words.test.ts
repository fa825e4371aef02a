import { glob, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const repository = resolve(import.meta.dirname, "..");

/**
 * Words that this project does not use; docs/style.md has what to write instead. Names in camelCase are split
 * first.
 */
const banned = [
  /\bwho(so)?(m)?ever\b/,
  /\b(nobody|somebody|anybody|everybody)\b/,
  /\b(no|some|any|every) one\b(?= (else|who|tells|hears|knows)\b)/,
  /\b(un)?told\b/,
  /\btells? of\b/,
  /\bof ours\b/,
  /\bin vain\b/,
  /\bshall\b/,
  /\b(rung|bells?)\b/,
  /\bring (the|its|his|a)\b/,
  /\bglances?\b/,
  /\b(fates?|doomed)\b/,
  /\b(mishaps?|happenings?|peace)\b/,
  /\bfight(s|ing)?\b/,
  /\b(sightings?|misfits?|wish(es)?)\b/,
  /\b(hopeless|rivals?|troubles?|patience)\b/,
  /\b(deaf|blind|eaten)\b/,
  /\b(illegible|superfluous|claimants?|keepers?)\b/,
  /\b(slots?|sleepers?|alarm clocks?|ledgers?)\b/,
  /\banew\b/,
  /\bas ever\b/,
  /\bis it (fine|so)\b/,
  /\b(mesh|meshes|server|servers|agent|etcd|plane|istiod|consul|peer) (is|are|was|were|goes|went) (away|there)\b/,
] as const;

/** The files that the list covers. */
const covered = [
  "*.md",
  "docs/*.md",
  "docs/howto/**/*.md",
  "docs/reference/*.md",
  "*.ts",
  "{src,adapters,test,deploy}/**/*.{ts,md}",
  "deploy/helm/attache/{values.yaml,Chart.yaml,templates/*}",
];

const exempt = new Set(["docs/style.md", "test/words.test.ts"]);

interface Exception {
  readonly file: string;
  /** The part of a line that may stay. */
  readonly text: string;
  readonly reason: string;
}

const exceptions: readonly Exception[] = [];

describe("the words of docs/style.md", async () => {
  const files = await Array.fromAsync(glob(covered, { cwd: repository, exclude: ["**/node_modules/**"] }));

  it("hold in code, tests, pages and the chart", async () => {
    const found: string[] = [];
    for (const file of files.toSorted().filter((one) => !exempt.has(one)))
      found.push(...bannedIn(await readFile(join(repository, file), "utf8"), file));
    expect(found).toEqual([]);
  });

  it("have no exception that nothing needs", async () => {
    for (const { file, text } of exceptions) {
      const content = await readFile(join(repository, file), "utf8");
      expect(content, `${file} no longer says "${text}": remove the exception`).toContain(text);
    }
  });
});

describe("the comments", async () => {
  const rooms = "src/{app,cli,demo,emissary,errors,ingress,registry,server,telemetry,text}/**/*.ts";
  const files = await Array.fromAsync(glob(rooms, { cwd: repository }));

  it("have lines of at most 110 characters", async () => {
    const long: string[] = [];
    for (const file of files.toSorted()) {
      const lines = (await readFile(join(repository, file), "utf8")).split("\n");
      for (const [index, line] of lines.entries())
        if (line.length > 110 && /^ *(?:\/\/|\/?\*)/.test(line)) long.push(`${file}:${index + 1}`);
    }
    expect(long).toEqual([]);
  });
});

/** Each line with a banned word, as `file:line: word: text`. */
function bannedIn(content: string, file: string): string[] {
  const allowed = exceptions.filter((one) => one.file === file).map(({ text }) => text);
  return content.split("\n").flatMap((line, index) => {
    const rest = allowed.reduce((text, part) => text.replaceAll(part, ""), line);
    const words = rest
      .replaceAll(/([a-z])([A-Z])/g, "$1 $2")
      .replaceAll(/[-_]/g, " ")
      .toLowerCase();
    return banned.flatMap((pattern) => {
      const word = pattern.exec(words)?.[0];
      return word === undefined ? [] : [`${file}:${index + 1}: ${word}: ${line.trim()}`];
    });
  });
}
