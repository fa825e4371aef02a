import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { definition, grpcSettings, httpSettings } from "./definition.ts";
import { connectionSettings as grpcConnection } from "./grpc/connection-settings.ts";
import { connectionSettings as httpConnection } from "./http/connection-settings.ts";

const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");

describe("the adapter's README", () => {
  it("names every environment variable that is read, and no other", () => {
    const read = new Set<string>();
    const env = new Proxy<Record<string, string>>({}, { get: (_env, name) => void read.add(String(name)) });
    httpConnection(httpSettings.parse({ mode: "http" }), env);
    grpcConnection(grpcSettings.parse({ login: { authMethod: "jwt" } }), env);
    const [, section = ""] = /^## Environment\n(.*?)^## /ms.exec(readme) ?? [];
    expect([...new Set(section.match(/\b(?:CONSUL_[A-Z_]+|HTTP_PROXY|http_proxy)/g))].sort()).toEqual(
      [...read].sort(),
    );
  });
});

const login = { authMethod: "jwt" };

describe("the settings", () => {
  it("need nothing where a server listens on this machine", () => {
    expect(definition.settings.parse({})).toEqual({
      mode: "grpc",
      serverWatch: true,
      csrMaxPerSecond: 47,
    });
  });

  it("need no more than the mode where an agent does", () => {
    expect(definition.settings.parse({ mode: "http" })).toEqual({ mode: "http" });
  });

  it("log in with the token of the pod", () => {
    expect(grpcSettings.parse({ login }).login).toEqual({
      authMethod: "jwt",
      bearerTokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token",
    });
  });

  it.each([
    [{ mode: "grcp" }, 'mode "grcp" does not exist; there are "grpc" and "http"'],
    [{ token: "a", tokenFile: "b" }, "give one of token, tokenFile and login"],
    [{ mode: "http", tokenFile: "b", login }, "give one of token, tokenFile and login"],
    [{ tls: { certFile: "cert.pem" } }, "certFile and keyFile belong together: give both or neither"],
    [
      { mode: "http", address: "http://consul.example", tls: { caFile: "ca.pem" } },
      'has no effect on an address that is not encrypted: write "https://…", or leave tls out',
    ],
    [
      { addresses: ["http://consul.example"], tls: { caFile: "ca.pem" } },
      'has no effect on addresses that are not encrypted: leave "http://" or tls out',
    ],
    [
      { addresses: ["http://one.example", "two.example"] },
      'must all be encrypted, or all begin with "http://" or "unix://"',
    ],
    [
      { addresses: ["unix://run/consul.sock"] },
      'must be like "consul-server.consul.svc:8502", "https://10.0.0.1:8503" or "unix:///run/consul-grpc.sock", without user, path or query',
    ],
    [
      { mode: "http", address: "https://user@consul.example" },
      'must be like "https://127.0.0.1:8501", "https://gateway.example/consul", "127.0.0.1:8500" or "unix:///run/consul.sock", without user and query; a user and password belong into CONSUL_HTTP_AUTH',
    ],
    [{ datacenter: "dc1/../dc2" }, 'must be the name of a Consul datacenter, e.g. "dc1"'],
  ])("refuse %j", (settings, message) => {
    const { error } = definition.settings.safeParse(settings);
    expect(error?.issues.map((issue) => issue.message)).toEqual([message]);
  });
});

describe("an identity", () => {
  it("counts as expected in any trust domain and datacenter", () => {
    expect(definition.expected({ service: "web" })).toBe("spiffe://*/ns/default/dc/*/svc/web");
  });

  it("counts as expected in its own namespace and partition only", () => {
    expect(definition.expected({ service: "web", namespace: "shop", partition: "eu" })).toBe(
      "spiffe://*/ap/eu/ns/shop/dc/*/svc/web",
    );
    expect(definition.expected({ service: "web", namespace: "default", partition: "default" })).toBe(
      "spiffe://*/ns/default/dc/*/svc/web",
    );
  });

  it("is escaped in the SPIFFE ID", () => {
    expect(definition.expected({ service: "web app*/ü" })).toBe(
      "spiffe://*/ns/default/dc/*/svc/web%20app%2A%2F%C3%BC",
    );
  });

  it.each([
    "web",
    "Web_api.v1",
    "..",
    "a/b",
    "*",
    "wäb",
    "web\n",
    "web%20x",
    "w".repeat(1024),
    "🙂".repeat(1024),
  ])("can be the service %.30s", (service) => {
    expect(definition.identity.safeParse({ service }).success).toBe(true);
  });

  it.each(["", "w".repeat(1025), "🙂".repeat(1025), "\ud83d"])("cannot be the service %.30s", (service) => {
    const { error } = definition.identity.safeParse({ service });
    expect(error?.issues[0]?.message).toMatch(/^must (?:be the name|have at most 1024 characters)/);
  });
});
