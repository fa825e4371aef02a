import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Certificate, Credential } from "../../../src/mesh/adapter.ts";
import { echoByNode, echoByOpenssl, line, pemsOf } from "../mtls.ts";
import { createToken } from "./acl.ts";
import { type ConsulAgent, startConsul } from "./agent.ts";
import { rotateRoot } from "./root.ts";
import { allow, forbid, type Sidecar, startSidecar } from "./sidecar.ts";
import { watch, type Watching } from "./watch.ts";

let folder: string;
let consul: ConsulAgent;
let sidecar: Sidecar;
let edge: Watching;
let credential: Credential;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
  consul = await startConsul({ folder, acl: true });
  sidecar = await startSidecar(consul, "web");
  edge = await watch(
    { address: consul.address, token: await createToken(consul, "write", ["edge"]) },
    "edge",
  );
  credential = await edge.next();
});

afterAll(async () => {
  await edge[Symbol.asyncDispose]();
  await sidecar[Symbol.asyncDispose]();
  await consul[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const web = "spiffe://*/ns/default/dc/dc1/svc/web";

describe.each([
  ["TLS in Node", echoByNode],
  ["openssl s_client", echoByOpenssl],
])("a real sidecar of Consul, called by %s", (_, echo) => {
  it("accepts the obtained credential where there is an intention, and refuses it without", async () => {
    await expect(echo(sidecar.port, pemsOf(credential), web)).rejects.toThrow();
    await allow(consul, "edge", "web");
    await expect.poll(() => echo(sidecar.port, pemsOf(credential), web).catch(String)).toBe(line);
    await forbid(consul, "edge", "web");
    await expect
      .poll(() => echo(sidecar.port, pemsOf(credential), web).catch(() => "refused"))
      .toBe("refused");
  });
});

describe("a real rotation of Consul's root", () => {
  it("comes as a bundle with both roots, and then as a leaf that both vouch for", async () => {
    await allow(consul, "edge", "web");
    const [oldRoot] = credential.bundle;
    await rotateRoot(consul, "72h");

    const united = await edge.next();
    expect(united.bundle).toHaveLength(2);
    expect(united.bundle.map(fingerprintOf)).toContain(fingerprintOf(oldRoot));
    expect(fingerprintOf(united.chain[0])).toBe(fingerprintOf(credential.chain[0]));

    // Consul's agent takes a random time of up to half a minute.
    const rotated = await edge.until(
      ({ chain }) => fingerprintOf(chain[0]) !== fingerprintOf(credential.chain[0]),
    );
    expect(rotated.bundle).toHaveLength(2);
    expect(rotated.chain).toHaveLength(2);
    for (const root of rotated.bundle) await expect(opensslVerify(rotated, root)).resolves.toContain(": OK");
    for (const echo of [echoByNode, echoByOpenssl]) {
      // What was published before the rotation is still good beside what is published now.
      for (const one of [united, rotated])
        await expect(echo(sidecar.port, pemsOf(one), web)).resolves.toBe(line);
    }
  });
});

function fingerprintOf(certificate: Certificate | undefined): string {
  return certificate?.fingerprint ?? "none";
}

/** As one who trusts only this root, and gets the chain in the handshake. */
async function opensslVerify({ chain: [leaf, ...rest] }: Credential, root: Certificate): Promise<string> {
  const write = async (name: string, certificates: readonly Certificate[]) => {
    const file = join(folder, name);
    await writeFile(file, certificates.map((certificate) => certificate.toPem()).join(""));
    return file;
  };
  const args = ["-CAfile", await write("root", [root]), "-untrusted", await write("rest", rest)];
  const { stdout } = await promisify(execFile)("openssl", ["verify", ...args, await write("leaf", [leaf])]);
  return stdout;
}
