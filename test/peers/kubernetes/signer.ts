import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { readCsr } from "../../../src/mesh/development/csr.ts";

/**
 * A mesh for attachés in processes of their own, which signs CSRs and counts them; `signer/` is its adapter.
 */
export interface Signer extends AsyncDisposable {
  readonly url: string;
  /** The service of each leaf that was asked for, in the order of asking. */
  readonly asked: readonly string[];
  /** Until the returned function is called, each request waits; it is then answered in any case. */
  hold(): () => void;
}

export async function startSigner(): Promise<Signer> {
  const authority = await createAuthority({ trustDomain: "signer.example", clock: systemClock });
  const asked: string[] = [];
  let gate: Promise<unknown> = Promise.resolve();

  async function sign(service: string, csr: string): Promise<string> {
    asked.push(service);
    await gate;
    const { publicKey } = readCsr(csr);
    return pem(authority.sign({ uri: `spiffe://signer.example/${service}`, publicKey }));
  }

  const server = createServer((request, response) => {
    const [, what, service = ""] = (request.url ?? "").split("/");
    const answer =
      what === "sign"
        ? text(request).then((csr) => sign(service, csr))
        : Promise.resolve(pem(authority.roots().map(({ certificate }) => certificate)));
    answer.then(
      (body) => response.end(body),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    hold() {
      const held = Promise.withResolvers<undefined>();
      gate = held.promise;
      return () => held.resolve(undefined);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function pem(certificates: readonly { toPem(): string }[]): string {
  return certificates.map((certificate) => certificate.toPem()).join("");
}
