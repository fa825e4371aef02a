import { describe, expect, it } from "vitest";
import { proxyOf } from "./proxy.ts";

const proxy = "http://proxy.example:3128";

describe("the proxy of the environment", () => {
  it("is chosen by the scheme, in capitals first, and may lack its own scheme", () => {
    const env = { HTTPS_PROXY: "secure:1", https_proxy: "small:1", http_proxy: "socks5://plain:2" };
    expect(proxyOf("https://api.example", env)).toBe("http://secure:1");
    expect(proxyOf("http://api.example", env)).toBe("socks5://plain:2");
    expect(proxyOf("https://api.example", { https_proxy: "small:1" })).toBe("http://small:1");
    expect(proxyOf("https://api.example", { HTTP_PROXY: proxy })).toBeUndefined();
    expect(proxyOf("https://api.example", {})).toBeUndefined();
  });

  it.each(["localhost:6443", "127.0.0.1:6443", "127.8.8.8", "[::1]:6443"])("is not asked for %s", (host) => {
    expect(proxyOf(`https://${host}`, { HTTPS_PROXY: proxy })).toBeUndefined();
  });

  it.each([
    ["*", "api.example", true],
    ["example", "api.example", true],
    [".api.example", "api.example", false],
    [".example", "api.example", true],
    ["*.example", "api.example", true],
    ["pi.example", "api.example", false],
    ["other, API.example ,", "api.example", true],
    ["api.example:6443", "api.example:6443", true],
    ["api.example:443", "api.example", true],
    ["api.example:443", "api.example:6443", false],
    ["10.0.0.0/8", "10.96.0.1", true],
    ["10.0.0.0/8", "11.96.0.1", false],
    ["10.0.0.0/8", "ten.example", false],
    ["10.0.0.0/99", "10.96.0.1", false],
    ["10.96.0.1", "10.96.0.1:6443", true],
    ["fd00::/8", "[fd00::1]:6443", true],
    ["fd00::1", "[fd00::1]:6443", true],
    ["[fd00::1]:6443", "[fd00::1]:6443", true],
    ["", "api.example", false],
  ])("with NO_PROXY=%s leaves out %s: %s", (exceptions, host, isDirect) => {
    const found = proxyOf(`https://${host}`, { HTTPS_PROXY: proxy, NO_PROXY: exceptions });
    expect(found).toBe(isDirect ? undefined : proxy);
  });
});
