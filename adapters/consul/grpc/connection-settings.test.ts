import { describe, expect, it } from "vitest";
import { grpcSettings } from "../definition.ts";
import { addressText } from "../../../src/mesh/kit/address.ts";
import { type ServerSettings, connectionSettings } from "./connection-settings.ts";

describe("the addresses of servers", () => {
  it.each([
    ["consul-server.consul.svc:8502", "consul-server.consul.svc:8502", true],
    ["10.0.0.1", "10.0.0.1:8503", true],
    ["https://consul.example", "consul.example:8503", true],
    ["http://consul.example", "consul.example:8502", false],
    ["[2001:db8::1]:8502", "[2001:db8::1]:8502", true],
    ["[fe80::1%25eth0]:8502", "[fe80::1%25eth0]:8502", true],
    ["unix:///run/consul-grpc.sock", "unix:///run/consul-grpc.sock", false],
    [" http://127.0.0.1:8502\n", "127.0.0.1:8502", false],
  ])("%s is %s, in the settings and in CONSUL_GRPC_ADDR", (address, text, isSecure) => {
    for (const settings of [connect({ addresses: [address] }), connect({}, { CONSUL_GRPC_ADDR: address })]) {
      expect(settings.addresses.map(addressText)).toEqual([text]);
      expect(settings.tls !== undefined).toBe(isSecure);
    }
  });

  it("are that of one on this machine when nothing is said", () => {
    expect(connect({}).addresses).toEqual([{ host: "127.0.0.1", port: 8503 }]);
  });

  it.each([
    "consul.example:0",
    "consul.example:99999",
    "http://user:secret@consul.example",
    "unix://s",
    "consul.example/consul",
    "consul.example\u001b[1m",
    "a b",
  ])("%s is refused at once, and not quoted", (address) => {
    const act = () => connect({}, { CONSUL_GRPC_ADDR: address });
    expect(act).toThrow(expect.objectContaining({ code: "ATTACHE_MESH_UNREACHABLE", retryable: false }));
    expect(act).not.toThrow("secret");
  });
});

describe("the CAs of servers", () => {
  const env = { CONSUL_GRPC_CACERT: "/grpc", CONSUL_CACERT: "/http", CONSUL_CAPATH: "/folder" };

  it.each([
    [{ caFile: "/own" }, env, "/own", undefined],
    [{}, env, "/grpc", undefined],
    [{}, { ...env, CONSUL_GRPC_CACERT: "" }, "/http", "/folder"],
    [{}, { ...env, CONSUL_GRPC_CACERT: "", CONSUL_GRPC_CAPATH: "/grpcs" }, undefined, "/grpcs"],
  ])("of the settings %j and the environment %j are %s and %s", (tls, environment, caFile, caPath) => {
    expect(connect({ tls }, environment).tls).toMatchObject({ caFile, caPath });
  });
});

describe("a login", () => {
  it("is at the auth method's namespace and partition, of the settings or the environment", () => {
    const login = { authMethod: "jwt", bearerTokenFile: "/token" };
    const env = { CONSUL_NAMESPACE: "shop", CONSUL_PARTITION: "eu" };
    expect(connect({ login }).token).toEqual({ kind: "login", ...login, namespace: "", partition: "" });
    expect(connect({ login: { ...login, namespace: "own" } }, env).token).toMatchObject({
      namespace: "own",
      partition: "eu",
    });
  });

  it("with a token that the API server takes too goes over verified TLS only", () => {
    const serviceAccountLogin = { authMethod: "kubernetes" };
    const plain = { addresses: ["http://127.0.0.1:8502"] };
    const unverified = { tls: { insecureSkipVerify: true } };
    for (const settings of [plain, unverified]) {
      expect(() => connect({ ...settings, serviceAccountLogin })).toThrow("over verified TLS only");
      const withAudience = { ...serviceAccountLogin, audience: "consul" };
      expect(connect({ ...settings, serviceAccountLogin: withAudience }).serviceAccountLogin).toBeDefined();
    }
    expect(() => connect({ serviceAccountLogin }, { CONSUL_HTTP_SSL_VERIFY: "false" })).toThrow(
      "verified TLS",
    );
    expect(connect({ serviceAccountLogin }).serviceAccountLogin).toBeDefined();
  });
});

function connect(settings: object, env: Record<string, string> = {}): ServerSettings {
  return connectionSettings(grpcSettings.parse(settings), env);
}
