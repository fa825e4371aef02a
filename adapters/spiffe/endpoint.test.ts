import { describe, expect, it } from "vitest";
import { socketPathMaxBytes } from "../../src/mesh/kit/unix-socket.ts";
import { endpointOf, readEndpoint } from "./endpoint.ts";

describe("the address of a Workload API", () => {
  it.each([
    ["unix:///run/api.sock", "unix:///run/api.sock", "/run/api.sock", true],
    ["unix:/run/api.sock", "unix:///run/api.sock", "/run/api.sock", true],
    ["tcp://127.0.0.1:8081", "ipv4:127.0.0.1:8081", undefined, true],
    ["tcp://[::1]:8081", "ipv6:[::1]:8081", undefined, true],
    ["tcp://10.0.0.7:8081", "ipv4:10.0.0.7:8081", undefined, false],
  ])("may be %s", (url, target, socketPath, isLocal) => {
    expect(readEndpoint(url)).toEqual({
      url,
      target,
      isLocal,
      ...(socketPath !== undefined && { socketPath }),
    });
  });

  it.each([
    "",
    "/run/api.sock",
    "unix://host/run/api.sock",
    "unix:api.sock",
    "unix:///run/api.sock?x=1",
    "unix:///run/api.sock#x",
    "unix:///",
    "unix:///run/api\u0007.sock",
    "127.0.0.1:8081",
    "tcp://localhost:8081",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:65536",
    "tcp://127.0.0.1:8081/path",
    "tcp://user@127.0.0.1:8081",
    "tcp://999.0.0.1:8081",
    "tcp://::1:8081",
    "https://127.0.0.1:8081",
  ])("may not be %j", (url) => {
    expect(readEndpoint(url)).toBeUndefined();
  });

  it.each(["unix:///run/api.sock\n", " tcp://127.0.0.1:8081 "])(
    "is read without what is around %j",
    (text) => {
      expect(readEndpoint(text)).toEqual(readEndpoint(text.trim()));
    },
  );

  it("may be an IPv6 address with a zone", () => {
    expect(readEndpoint("tcp://[fe80::1%25eth0]:8081")?.target).toBe("ipv6:[fe80::1%eth0]:8081");
  });

  it("has a path that is as long as the system allows, and no longer", () => {
    const longest = `/${"x".repeat(socketPathMaxBytes - 1)}`;
    expect(readEndpoint(`unix://${longest}`)?.socketPath).toBe(longest);
    expect(readEndpoint(`unix://${longest}x`)).toBeUndefined();
  });
});

describe("where attaché looks for a Workload API", () => {
  const variable = { SPIFFE_ENDPOINT_SOCKET: "tcp://127.0.0.1:1" };

  it.each([
    ["the settings", "unix:///settings.sock", variable, "unix:///settings.sock"],
    ["then SPIFFE_ENDPOINT_SOCKET", undefined, variable, "tcp://127.0.0.1:1"],
    ["then SPIRE's default", undefined, {}, "unix:///tmp/spire-agent/public/api.sock"],
    [
      "which a variable that is empty leaves",
      undefined,
      { SPIFFE_ENDPOINT_SOCKET: "" },
      "unix:///tmp/spire-agent/public/api.sock",
    ],
    [
      "and one that is blank",
      undefined,
      { SPIFFE_ENDPOINT_SOCKET: " \n" },
      "unix:///tmp/spire-agent/public/api.sock",
    ],
  ])("is %s", (_, setting, env, url) => {
    expect(endpointOf(setting, env).url).toBe(url);
  });

  it("is refused when the variable is no address", () => {
    expect(() => endpointOf(undefined, { SPIFFE_ENDPOINT_SOCKET: "/run/api.sock" })).toThrow(
      "ATTACHE_MESH_UNREACHABLE: SPIFFE_ENDPOINT_SOCKET is no address of a Workload API",
    );
  });
});
