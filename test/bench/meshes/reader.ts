/**
 * `reader.ts SETS`: reads sets of files as fast as it can, and prints a line of JSON for each that it has not
 * seen before: when, of which set, whether it is torn, and what tells it from others. A reader takes no lock
 * and knows nothing of the writer.
 */
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

export interface FileSet {
  readonly name: string;
  readonly folder: string;
  /**
   * A symlink in the folder that is resolved once for each set; without one the files stand in the folder
   * itself.
   */
  readonly link?: string;
  readonly key: string;
  readonly chain: string;
  readonly roots: string;
}

export interface Seen {
  readonly set: string;
  /** Milliseconds since 1970, with fractions. */
  readonly at: number;
  /** Why it is torn, if it is. */
  readonly torn?: string;
  /** Of the leaf; empty in a torn set. */
  readonly serial: string;
  /** How many roots there are. */
  readonly roots: number;
  /** How often the set was read so far. */
  readonly reads: number;
}

/** How many reads pass before signals and the end are looked for. */
const readsInARow = 100;

const sets = JSON.parse(process.argv[2] ?? "[]") as FileSet[];
const readers = sets.map(readerOf);

for (;;) {
  for (let count = 0; count < readsInARow; count += 1) for (const read of readers) read();
  await new Promise((resolve) => setImmediate(resolve));
}

function readerOf(set: FileSet): () => void {
  let last = "";
  let isWhole = false;
  let reads = 0;
  return () => {
    reads += 1;
    const texts = textsOf(set);
    const all = texts.join("\0");
    if (all === last) return;
    const at = performance.timeOrigin + performance.now();
    last = all;
    const found = judge(texts);
    // Before there is a first set, what is there is not one that was torn.
    isWhole ||= found.torn === undefined;
    if (!isWhole) return;
    process.stdout.write(`${JSON.stringify({ set: set.name, at, reads, ...found } satisfies Seen)}\n`);
  };
}

function textsOf({ folder, link, key, chain, roots }: FileSet): readonly [string, string, string] {
  const read = (name: string) => {
    try {
      return readFileSync(join(place, name), "latin1");
    } catch {
      return "";
    }
  };
  let place = folder;
  try {
    if (link !== undefined) place = join(folder, readlinkSync(join(folder, link)));
  } catch {
    return ["", "", ""];
  }
  return [read(key), read(chain), read(roots)];
}

function judge([key, chain, roots]: readonly [string, string, string]): Pick<
  Seen,
  "torn" | "serial" | "roots"
> {
  try {
    const certificates = certificatesIn(chain);
    const [leaf] = certificates;
    const trusted = certificatesIn(roots);
    if (leaf === undefined) return { torn: "no certificate", serial: "", roots: 0 };
    const mine = createPublicKey(createPrivateKey(key)).export({ type: "spki", format: "der" });
    if (!leaf.publicKey.export({ type: "spki", format: "der" }).equals(mine)) {
      return { torn: "the key of another certificate", serial: "", roots: 0 };
    }
    const leads = certificates.some((one) =>
      trusted.some((root) => one.checkIssued(root) && one.verify(root.publicKey)),
    );
    if (!leads) return { torn: "no root for the certificate", serial: "", roots: 0 };
    return { serial: leaf.serialNumber, roots: trusted.length };
  } catch {
    return { torn: "half a file", serial: "", roots: 0 };
  }
}

function certificatesIn(text: string): X509Certificate[] {
  return [...text.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(
    ([pem]) => new X509Certificate(pem),
  );
}
