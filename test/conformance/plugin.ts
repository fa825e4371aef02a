/**
 * Loads the example plug-in by name from the folder given, and tries it against the conformance suite, with
 * Node alone: a line a case. Run by plugin.test.ts.
 */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { privateKeyPem } from "../../src/credentials/keys.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";
import { loadPlugin } from "../../src/mesh/plugin.ts";
import { adapterConformance, type Peer } from "./adapter.ts";

const [directory = "."] = process.argv.slice(2);
const adapter = await loadPlugin("@acme/attache-files", directory);

/** A folder of PEM files, each replaced at once, the set not. */
async function start(): Promise<Peer> {
  const authority = await createAuthority({ trustDomain: "example.org", clock: systemClock });
  const folder = await mkdtemp(join(directory, "certificates-"));
  const write = async (name: string, pems: readonly string[]) => {
    await writeFile(join(folder, `${name}.new`), pems.join(""));
    await rename(join(folder, `${name}.new`), join(folder, name));
  };
  const writeRoots = () =>
    write(
      "roots.crt",
      authority.roots().map(({ certificate }) => certificate.toPem()),
    );
  const writeLeaf = async () => {
    const { key, chain } = await authority.issue({ uri: "spiffe://example.org/edge" });
    await write("edge.key", [privateKeyPem(key)]);
    await write(
      "edge.crt",
      chain.map((certificate) => certificate.toPem()),
    );
  };
  await Promise.all([writeRoots(), writeLeaf()]);
  return {
    settings: { folder, everyMs: 10 },
    identity: { name: "edge" },
    secrets: () => [],
    rotate: writeLeaf,
    async rotateRoot() {
      await authority.rotateRoot();
      await writeRoots();
      await writeLeaf();
    },
    async dropOldRoots() {
      for (const { certificate } of authority.roots()) authority.dropRoot(certificate.fingerprint);
      await writeRoots();
    },
    stop: () => rename(folder, `${folder}-away`),
    resume: () => rename(`${folder}-away`, folder),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true });
      await rm(`${folder}-away`, { recursive: true, force: true });
    },
  };
}

const lines = [adapter.kind];
for (const { name, run, skip } of adapterConformance({ adapter, start })) {
  if (skip === undefined) await run();
  lines.push(`${skip === undefined ? "ok" : "skip"} ${name}`);
}
process.stdout.write(`${lines.join("\n")}\n`);
