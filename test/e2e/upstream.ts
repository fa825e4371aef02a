import { once } from "node:events";
import { createServer as createHttp, type RequestListener, type Server as HttpServer } from "node:http";
import { createServer as createHttps, type Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { PeerCertificate, TLSSocket } from "node:tls";
import type { Issued } from "../fixtures/pki.ts";
import { openTap, type Tap } from "./tap.ts";

/**
 * An upstream of a mesh that trusts every client: it answers with or without TLS, and says what it was shown.
 */
export interface Upstream extends AsyncDisposable {
  readonly tap: Tap;
  /** `127.0.0.1:PORT`, for a Mapping. */
  readonly service: string;
}

/** What it answers. */
export interface Shown {
  readonly path: string;
  readonly isTls: boolean;
  /** In hexadecimal; empty where nothing, or nothing of the mesh, was shown. */
  readonly serialNumber: string;
}

export async function startUpstream(root: Issued, leaf: Issued): Promise<Upstream> {
  const answer: RequestListener = ({ socket, url = "" }, response) => {
    const isTls = "encrypted" in socket;
    // An empty object where there is none.
    const shown: Partial<PeerCertificate> = isTls ? (socket as TLSSocket).getPeerCertificate() : {};
    const { serialNumber = "" } = shown;
    response.end(JSON.stringify({ path: url, isTls, serialNumber } satisfies Shown));
  };
  const options = { key: leaf.keyPem, cert: leaf.pem, ca: root.pem };
  const encrypted = createHttps({ ...options, requestCert: true, rejectUnauthorized: false }, answer);
  const plain = createHttp(answer);
  const tap = await openTap(await listen(encrypted), await listen(plain));
  return {
    tap,
    service: `127.0.0.1:${tap.port}`,
    async [Symbol.asyncDispose]() {
      await tap[Symbol.asyncDispose]();
      encrypted.close();
      plain.close();
    },
  };
}

async function listen(server: HttpServer | HttpsServer): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}
