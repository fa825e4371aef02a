import { constants } from "node:crypto";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConsulAgent } from "./agent.ts";

/**
 * A service of the mesh that accepts its clients only, and takes each new leaf and root as soon as the agent has
 * it. It resumes no TLS session: in each connection both sides verify the other.
 */
export interface ConsulUpstream extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
}

const everyMs = 100;

export async function startConsulUpstream(
  agent: ConsulAgent,
  service: string,
  answer: RequestListener,
): Promise<ConsulUpstream> {
  async function credential() {
    const leaf = (await agent.call("GET", `/agent/connect/ca/leaf/${service}`)) as Leaf;
    const { Roots: roots } = (await agent.call("GET", "/agent/connect/ca/roots")) as RootList;
    return { cert: leaf.CertPEM, key: leaf.PrivateKeyPEM, ca: roots.map(({ RootCert }) => RootCert) };
  }

  let loaded = await credential();
  const { SSL_OP_NO_TICKET: secureOptions } = constants;
  const strict = { secureOptions, requestCert: true, rejectUnauthorized: true };
  const server = createServer({ ...loaded, ...strict }, answer);
  // Few requests a connection, which the service does not end of its own: a request on its way would fail.
  server.maxRequestsPerSocket = 10;
  server.keepAliveTimeout = 0;
  await once(server.listen(0, "127.0.0.1"), "listening");
  let isOver = false;
  async function keepCurrent(): Promise<void> {
    while (!isOver) {
      const now = await credential().catch(() => loaded);
      if (JSON.stringify(now) !== JSON.stringify(loaded)) server.setSecureContext({ ...now, secureOptions });
      loaded = now;
      await sleep(everyMs);
    }
  }
  const current = keepCurrent();

  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      isOver = true;
      await current;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Leaf {
  readonly CertPEM: string;
  readonly PrivateKeyPEM: string;
}

interface RootList {
  readonly Roots: readonly { readonly RootCert: string }[];
}
