import { describe, expect, it } from "vitest";
import { addressText, grpcTarget, isLocal, readAddress } from "./address.ts";

describe("an address", () => {
  it.each([
    ["consul.example", { host: "consul.example" }],
    ["consul.example:8500", { host: "consul.example", port: 8500 }],
    ["http://10.0.0.1:80", { scheme: "http", host: "10.0.0.1", port: 80 }],
    ["[2001:db8::1]:8500", { host: "2001:db8::1", port: 8500 }],
    ["http://[fe80::1%25eth0]", { scheme: "http", host: "fe80::1%eth0" }],
    ["[fe80::1%eth0]:1", { host: "fe80::1%eth0", port: 1 }],
    ["http://gateway/a/b//", { scheme: "http", host: "gateway", path: "/a/b" }],
    ["unix:///run/api.sock", { scheme: "unix", host: "localhost", socketPath: "/run/api.sock" }],
    [" \t10.0.0.1:1\r\n", { host: "10.0.0.1", port: 1 }],
  ])("is read from %j", (text, parts) => {
    const expected = { scheme: undefined, port: undefined, path: "", ...parts };
    expect(readAddress(text, { schemes: ["http", "unix"], hasPath: true })).toEqual(expected);
  });

  it.each([
    "",
    "a b",
    "10.0.0.1:0",
    "10.0.0.1:65536",
    "ftp://10.0.0.1",
    "http://user:secret@10.0.0.1",
    "http://10.0.0.1?x",
    "http://10.0.0.1/a b",
    "::1",
    "[10.0.0.1]",
    "[::1%]",
    "[::1%25lo/x]",
    "10.0.0.1\u0000",
    "unix://run/api.sock",
    "unix:///run/\u001b.sock",
  ])("is not read from %j", (text) => {
    expect(readAddress(text, { schemes: ["http", "unix"], hasPath: true })).toBeUndefined();
  });

  it("has a scheme or a path only where one is expected", () => {
    for (const text of ["http://10.0.0.1", "unix:///run/api.sock", "10.0.0.1/"]) {
      expect(readAddress(text)).toBeUndefined();
    }
  });

  it.each([
    [{ host: "fe80::1%eth0", port: 1 }, "[fe80::1%25eth0]:1", "ipv6:[fe80::1%eth0]:1", false],
    [{ host: "::1%lo", port: 1 }, "[::1%25lo]:1", "ipv6:[::1%lo]:1", true],
    [{ host: "127.0.0.1", port: 1 }, "127.0.0.1:1", "ipv4:127.0.0.1:1", true],
    [{ host: "127.example", port: 1 }, "127.example:1", "dns:///127.example:1", false],
    [{ host: "localhost", port: 0, socketPath: "/s" }, "unix:///s", "unix:///s", true],
  ])("%j is written %s, for gRPC %s", (address, text, target, local) => {
    expect([addressText(address), grpcTarget(address), isLocal(address)]).toEqual([text, target, local]);
  });
});
