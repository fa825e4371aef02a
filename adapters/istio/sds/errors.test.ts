import { Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { meshErrorOf } from "./errors.ts";

/** As the agent of Istio 1.31 was seen to say it. */
const said = (reason: string) =>
  `failed to generate secret for default: failed to generate workload certificate: create certificate: rpc error: ${reason}`;

describe("what the agent says of its call to istiod", () => {
  it.each([
    [
      "code = Unauthenticated desc = request authenticate failure",
      "ATTACHE_MESH_UNAUTHENTICATED",
      /audience must be/,
    ],
    [
      'code = Unavailable desc = connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"',
      "ATTACHE_MESH_TLS",
      /istio-ca-root-cert/,
    ],
    [
      'code = Unavailable desc = connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate is valid for istiod.istio-system.svc, not localhost"',
      "ATTACHE_MESH_TLS",
      /discoveryAddress/,
    ],
    [
      'code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:15012: connect: connection refused"',
      "ATTACHE_MESH_UNAVAILABLE",
      /15012/,
    ],
    ["code = Internal desc = CSR signing error", "ATTACHE_MESH_UNAVAILABLE", /log of the agent/],
  ])("%s", async (reason, code, remedy) => {
    const details = said(reason);
    const ended = Object.assign(new Error(details), {
      code: status.UNKNOWN,
      details,
      metadata: new Metadata(),
    });
    expect(await meshErrorOf(ended, "/nowhere")).toMatchObject({
      code,
      remedy: expect.stringMatching(remedy) as string,
    });
  });
});
