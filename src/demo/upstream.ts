import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { type SecureContextOptions, TLSSocket } from "node:tls";
import { Certificate } from "../credentials/certificate.ts";
import type { Authority } from "../mesh/development/authority.ts";

/** A service behind the ingress that accepts only mutual TLS from authorized callers, as a sidecar does. */
export interface Upstream extends AsyncDisposable {
  readonly port: number;
  /** Takes a new leaf and the current roots of the mesh. Open connections stay. */
  rotate(): Promise<void>;
}

interface UpstreamOptions {
  readonly authority: Authority;
  /** The service's own SPIFFE ID. */
  readonly uri: string;
  /** The SPIFFE IDs that may call it, as an intention or an AuthorizationPolicy grants. */
  readonly callers: readonly string[];
}

export async function startUpstream({ authority, uri, callers }: UpstreamOptions): Promise<Upstream> {
  async function context(): Promise<SecureContextOptions> {
    const { key, chain } = await authority.issue({ uri });
    return {
      key: key.export({ type: "pkcs8", format: "pem" }),
      cert: chain.map((certificate) => certificate.toPem()).join(""),
      ca: authority.roots().map(({ certificate }) => certificate.toPem()),
    };
  }

  const server = createServer(
    { ...(await context()), requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const caller = callerOf(request.socket);
      response.writeHead(callers.includes(caller) ? 200 : 403).end(`${caller}\n`);
    },
  );
  await listen(server);
  return {
    port: (server.address() as AddressInfo).port,
    async rotate() {
      server.setSecureContext(await context());
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The SPIFFE ID of the client. The handshake has verified its chain. */
function callerOf(socket: Socket): string {
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  return certificate === undefined ? "" : new Certificate(certificate.raw).uris.join();
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
}
