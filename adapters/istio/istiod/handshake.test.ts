import { describe, expect, it } from "vitest";
import { endpointOf } from "./handshake.ts";

describe("the address of istiod's CA", () => {
  it.each([
    [
      "istiod-canary.istio-system.svc:15012",
      "istiod-canary.istio-system.svc",
      15_012,
      "istiod-canary.istio-system.svc",
    ],
    ["127.0.0.1:15012", "127.0.0.1", 15_012, "istiod.istio-system.svc"],
    ["localhost:443", "localhost", 443, "istiod.istio-system.svc"],
    ["[fe80::1%25eth0]:15012", "fe80::1%eth0", 15_012, "istiod.istio-system.svc"],
    ["[::1]:15012", "::1", 15_012, "istiod.istio-system.svc"],
  ])("%s is %s, port %i, with a certificate for %s", (address, host, port, serverName) => {
    expect(endpointOf(address)).toEqual({ address, host, port, serverName });
  });

  it("may have a certificate for another name", () => {
    expect(endpointOf("10.0.0.1:15012", "istiod.mesh.example")).toMatchObject({
      host: "10.0.0.1",
      serverName: "istiod.mesh.example",
    });
  });
});
