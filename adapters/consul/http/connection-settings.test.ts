import { describe, expect, it } from "vitest";
import { type AgentSettings, connectionSettings } from "./connection-settings.ts";
import { httpSettings } from "../definition.ts";

describe("the address", () => {
  it.each([
    ["127.0.0.1:8500", "http://127.0.0.1:8500"],
    ["localhost", "http://localhost:8500"],
    ["http://consul.example", "http://consul.example:80"],
    ["https://consul.example/", "https://consul.example:443"],
    ["https://consul_1.example:8501", "https://consul_1.example:8501"],
    ["[::1]:8500", "http://[::1]:8500"],
    ["https://[2001:db8::1]", "https://[2001:db8::1]:443"],
    ["unix:///run/consul.sock", "unix:///run/consul.sock"],
    ["https://gateway.example/consul", "https://gateway.example:443/consul"],
    ["https://gateway.example:8443/a/b%20c/", "https://gateway.example:8443/a/b%20c"],
    ["http://[fe80::1%25eth0]:8500", "http://[fe80::1%25eth0]:8500"],
    ["[fe80::1%eth0]:8500", "http://[fe80::1%25eth0]:8500"],
    ["\t127.0.0.1:8500 \r\n", "http://127.0.0.1:8500"],
    ["unix:///run/consul.sock\n", "unix:///run/consul.sock"],
  ])("%s is %s, in the settings and in CONSUL_HTTP_ADDR", (address, url) => {
    expect(connect({ address }).endpoint.url).toBe(url);
    expect(connect({}, { CONSUL_HTTP_ADDR: address }).endpoint.url).toBe(url);
  });

  it("is that of an agent on this machine when nothing is said", () => {
    expect(connect({}).endpoint).toEqual({
      isSecure: false,
      host: "127.0.0.1",
      port: 8500,
      path: "",
      url: "http://127.0.0.1:8500",
    });
    expect(connect({}, { CONSUL_HTTP_ADDR: "" }).endpoint.port).toBe(8500);
  });

  it("has no brackets around an IPv6 host that is connected to", () => {
    expect(connect({ address: "http://[::1]:8500" }).endpoint.host).toBe("::1");
  });

  it("is encrypted where TLS is asked for, unless the settings say http", () => {
    const wanted = { CONSUL_HTTP_SSL: "true" };
    const isSecure = (settings: object, env = {}) => connect(settings, env).endpoint.isSecure;
    expect(isSecure({ address: "consul.example:8501" }, wanted)).toBe(true);
    expect(isSecure({ address: "consul.example:8501", tls: { caFile: "ca.pem" } })).toBe(true);
    expect(isSecure({}, { ...wanted, CONSUL_HTTP_ADDR: "http://consul.example:8501" })).toBe(true);
    expect(isSecure({ address: "http://consul.example:8500" }, wanted)).toBe(false);
    expect(isSecure({ address: "consul.example:8500" }, { CONSUL_HTTP_SSL: "false" })).toBe(false);
    expect(connect({ address: "localhost" }, wanted).endpoint.port).toBe(8501);
  });

  it.each([
    "ftp://consul.example",
    "http://user:secret@consul.example",
    "consul.example:99999",
    "a b",
    "http://x/v1",
    "https://gateway.example/consul/v1/",
    "https://gateway.example/consul?token=secret",
    "http://[fe80::1%]:8500",
    "127.0.0.1%eth0:8500",
    "127.0.0.1:8500\u0000",
    "unix:///run/consul\u001b.sock",
    `unix:///${"s".repeat(103)}`,
  ])("%s is refused at once, and not quoted", (address) => {
    const act = () => connect({}, { CONSUL_HTTP_ADDR: address });
    expect(act).toThrow(expect.objectContaining({ code: "ATTACHE_MESH_UNREACHABLE", retryable: false }));
    expect(act).not.toThrow("secret");
  });
});

describe("the user and password of a gateway", () => {
  it.each([
    ["edge:pass:word", "edge:pass:word"],
    ["edge", "edge:"],
    [" edge:password\n", "edge:password"],
    ["", undefined],
  ])("are %j as %j", (text, basicAuth) => {
    expect(connect({}, { CONSUL_HTTP_AUTH: text }).basicAuth).toBe(basicAuth);
  });
});

describe("the ACL token", () => {
  const env = { CONSUL_HTTP_TOKEN: "of-env", CONSUL_HTTP_TOKEN_FILE: "/env/token" };

  it.each([
    [{ token: "of-settings" }, env, { kind: "fixed", token: "of-settings" }],
    [{ tokenFile: "/settings/token" }, env, { kind: "file", path: "/settings/token" }],
    [{}, env, { kind: "file", path: "/env/token" }],
    [{}, { CONSUL_HTTP_TOKEN: "of-env" }, { kind: "fixed", token: "of-env" }],
    [{}, { CONSUL_HTTP_TOKEN: "", CONSUL_HTTP_TOKEN_FILE: "" }, { kind: "none" }],
  ])("of the settings %j and the environment %j is %j", (settings, environment, source) => {
    expect(connect(settings, environment).token).toEqual(source);
  });
});

describe("the TLS settings", () => {
  const env = {
    CONSUL_CACERT: "/env/ca",
    CONSUL_CAPATH: "/env/cas",
    CONSUL_CLIENT_CERT: "/env/cert",
    CONSUL_CLIENT_KEY: "/env/key",
    CONSUL_TLS_SERVER_NAME: "server.env",
    CONSUL_HTTP_SSL_VERIFY: "false",
  };

  it("are those of the environment where the settings say nothing", () => {
    expect(connect({}, env).tls).toEqual({
      caFile: "/env/ca",
      caPath: "/env/cas",
      certFile: "/env/cert",
      keyFile: "/env/key",
      serverName: "server.env",
      insecureSkipVerify: true,
    });
  });

  it("take CAs from one place, and certificate and key from one place", () => {
    const tls = {
      caPath: "/cas",
      certFile: "/cert",
      keyFile: "/key",
      serverName: "server.dc1.consul",
      insecureSkipVerify: false,
    };
    expect(connect({ tls }, env).tls).toEqual({ caFile: undefined, ...tls });
  });

  it("verify the server when nothing is said", () => {
    expect(connect({}).tls.insecureSkipVerify).toBe(false);
  });

  it.each(["CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY"])(
    "are refused when %s is neither yes nor no",
    (name) => {
      expect(() => connect({}, { [name]: "yes" })).toThrow(
        `ATTACHE_MESH_TLS: ${name} is neither true nor false`,
      );
    },
  );
});

function connect(settings: object, env: Record<string, string> = {}): AgentSettings {
  return connectionSettings(httpSettings.parse({ mode: "http", ...settings }), env);
}
