import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { connect } from "node:tls";
import { privateKeyPem } from "../../src/credentials/keys.ts";
import { Certificate, type Credential, parseSpiffeIdPattern } from "../../src/mesh/adapter.ts";

/** What a client shows and trusts, as PEM: what a credential is published as. */
export interface ClientPems {
  readonly key: string;
  /** Leaf first. */
  readonly chain: string;
  readonly roots: string;
}

export function pemsOf({ key, chain, bundle }: Credential): ClientPems {
  const pem = (certificates: readonly Certificate[]) => certificates.map((one) => one.toPem()).join("");
  return { key: privateKeyPem(key), chain: pem(chain), roots: pem(bundle) };
}

/**
 * One way to have an mTLS exchange with an upstream that echoes: sends a line to 127.0.0.1:`port` and
 * resolves with what comes back. Rejects if either side does not accept the other, where it can tell also if
 * the server's SPIFFE ID is not of the pattern `upstream`.
 */
export type Echo = (port: number, pems: ClientPems, upstream: string) => Promise<string>;

export const line = "hello through the mesh";

export const echoByNode: Echo = async (port, { key, chain, roots }, upstream) => {
  const pattern = parseSpiffeIdPattern(upstream);
  const socket = connect({
    host: "127.0.0.1",
    port,
    key,
    cert: chain,
    ca: roots,
    // A sidecar's certificate has no DNS name: its SPIFFE ID is what counts.
    checkServerIdentity: (_, { raw }) => {
      const [uri = ""] = new Certificate(raw).uris;
      return pattern.test(uri) ? undefined : new Error(`${uri} is not ${upstream}`);
    },
  });
  try {
    socket.write(`${line}\n`);
    return await firstLine(socket);
  } finally {
    socket.destroy();
  }
};

/** Verifies chains as any OpenSSL does; it has no way to ask for a URI name. */
export const echoByOpenssl: Echo = async (port, { key, chain, roots }) => {
  const folder = await mkdtemp(join(tmpdir(), "attache-openssl-"));
  const intermediates = chain.slice(chain.indexOf(end) + end.length).trim();
  const write = async (name: string, pem: string) => {
    const file = join(folder, name);
    await writeFile(file, pem, { mode: 0o600 });
    return file;
  };
  try {
    const openssl = spawn("openssl", [
      ...["s_client", "-quiet", "-verify_return_error", "-connect", `127.0.0.1:${port}`],
      ...["-key", await write("key", key), "-cert", await write("leaf", chain)],
      ...(intermediates === "" ? [] : ["-cert_chain", await write("intermediates", intermediates)]),
      ...["-CAfile", await write("roots", roots)],
    ]);
    const said = text(openssl.stderr);
    openssl.stdin.on("error", () => undefined).write(`${line}\n`);
    try {
      return await firstLine(openssl.stdout);
    } catch (cause) {
      throw new Error(await said, { cause });
    } finally {
      openssl.kill();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
};

const end = "-----END CERTIFICATE-----";

async function firstLine(stream: Readable): Promise<string> {
  for await (const received of createInterface(stream)) return received;
  throw new Error("the server closed the connection");
}
