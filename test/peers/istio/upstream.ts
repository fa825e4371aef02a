import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";
import { startAgent } from "./agent.ts";
import type { Istiod } from "./istiod.ts";

/**
 * A service of the mesh that echoes, with a certificate that istiod has given a real agent for it, and that
 * stays.
 */
export interface Upstream extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
  readonly id: string;
  /** Takes clients under these roots, and no others. */
  trust(rootsPem: string): void;
}

export async function startUpstream(istiod: Istiod, namespace: string, name: string): Promise<Upstream> {
  const { key, cert, ca } = await certificateOf(istiod, namespace, name);
  const server = createServer({ key, cert, ca, requestCert: true, rejectUnauthorized: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.on("tlsClientError", () => undefined);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    id: `spiffe://cluster.local/ns/${namespace}/sa/${name}`,
    port: (server.address() as AddressInfo).port,
    trust: (rootsPem) => server.setSecureContext({ key, cert, ca: rootsPem }),
    async [Symbol.asyncDispose]() {
      await once(server.close(), "close");
    },
  };
}

async function certificateOf(istiod: Istiod, namespace: string, serviceAccount: string) {
  await using agent = await startAgent(istiod, { namespace, serviceAccount, secretTtl: "1h" });
  const read = (name: string) => readFile(join(agent.outputCerts, name));
  return { key: await read("key.pem"), cert: await read("cert-chain.pem"), ca: await read("root-cert.pem") };
}
