import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";
import type { Spire } from "./spire.ts";

/**
 * A service that echoes to those who show an SVID of the trust domain, with an SVID that the server itself
 * has minted.
 */
export interface Upstream extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
  readonly id: string;
  /** Takes a new SVID, and the bundle as it is now. */
  renew(): Promise<void>;
}

export async function startUpstream(spire: Spire, name: string): Promise<Upstream> {
  const id = `spiffe://${spire.trustDomain}/${name}`;
  const folder = join(spire.folder, name);
  await mkdir(folder);

  async function mint() {
    await spire.server("x509", "mint", "-spiffeID", id, "-ttl", "1h", "-write", folder);
    const [cert, key, ca] = await Promise.all(
      ["svid.pem", "key.pem", "bundle.pem"].map((file) => readFile(join(folder, file))),
    );
    return { cert, key, ca };
  }

  const server = createServer(
    { ...(await mint()), requestCert: true, rejectUnauthorized: true },
    (socket) => {
      socket.on("error", () => undefined);
      socket.pipe(socket);
    },
  );
  server.on("tlsClientError", () => undefined);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    id,
    port: (server.address() as AddressInfo).port,
    async renew() {
      server.setSecureContext(await mint());
    },
    async [Symbol.asyncDispose]() {
      await once(server.close(), "close");
    },
  };
}
