import { describe, expect, it } from "vitest";
import { z, type ZodType } from "zod";
import { socketPathMaxBytes } from "../../src/mesh/kit/unix-socket.ts";
import { rowsOf, rowsUnder } from "../../test/fixtures/readme-tables.ts";
import { definition } from "./definition.ts";

const readme = new URL("README.md", import.meta.url);

describe("the adapter's README", () => {
  it.each(definition.settings.options.map((mode) => [modeOf(mode), mode] as const))(
    "lists every setting of the mode %s, and no other, with its default and meaning",
    (name, mode) => {
      expect(rowsUnder(`Mode \`${name}\``, readme)).toEqual(rowsOf(mode));
    },
  );

  it("lists every field of an identity, and no other", () => {
    expect(rowsUnder("Identity", readme)).toEqual(rowsOf(definition.identity));
  });
});

describe("the settings", () => {
  it("need nothing in a pod with a sidecar", () => {
    expect(definition.settings.parse({})).toEqual({ mode: "sds" });
  });

  it("need nothing in the cluster of an istiod either", () => {
    expect(definition.settings.parse({ mode: "istiod" })).toEqual({
      mode: "istiod",
      address: "istiod.istio-system.svc:15012",
      roots: {},
      audience: "istio-ca",
      keyType: "ec-p256",
    });
  });

  it.each([
    [{ mode: "ambient" }, 'mode "ambient" does not exist; there are: sds, istiod, files'],
    [
      { mode: "istiod", address: "https://istiod:15012" },
      'must be HOST:PORT, e.g. "istiod.istio-system.svc:15012"',
    ],
    [
      { mode: "istiod", roots: { file: "/ca.pem", configMap: "mine" } },
      "name one of configMap, clusterTrustBundle and file",
    ],
    [{ mode: "istiod", ttl: "30s" }, 'must be between "1m" and "90d"'],
    [
      { socket: "unix:///run/agent.sock" },
      'must be an absolute path, without "unix:", e.g. "/var/run/secrets/workload-spiffe-uds/socket"',
    ],
    [
      { socket: `/${"ä".repeat(52)}` },
      "must be at most 103 bytes long, the limit of a Unix socket's path: mount it at a shorter one",
    ],
    [
      { socket: "/run/agent\u0000.sock" },
      'must be an absolute path, without "unix:", e.g. "/var/run/secrets/workload-spiffe-uds/socket"',
    ],
    [
      { mode: "istiod", address: "user:secret@istiod:15012" },
      'must be HOST:PORT, e.g. "istiod.istio-system.svc:15012"',
    ],
    [{ mode: "files", directory: "certs" }, 'must be an absolute path, e.g. "/etc/istio-output-certs"'],
  ])("refuse %j", (settings, message) => {
    const { error } = definition.settings.safeParse(settings);
    expect(error?.issues.map((issue) => issue.message)).toEqual([message]);
  });

  it("take paths without the spaces and line ends around them", () => {
    expect(definition.settings.parse({ socket: " /run/agent.sock\n" })).toEqual({
      mode: "sds",
      socket: "/run/agent.sock",
    });
    expect(definition.settings.parse({ mode: "files", directory: "/certs\n" })).toMatchObject({
      directory: "/certs",
    });
  });

  it("take a socket whose path is as long as the system allows", () => {
    const socket = `/${"x".repeat(socketPathMaxBytes - 1)}`;
    expect(definition.settings.parse({ socket })).toEqual({ mode: "sds", socket });
  });
});

describe("an identity", () => {
  it("counts as expected in the MeshCertificate's own namespace, and in any trust domain", () => {
    const bearer = { namespace: "shop" };
    expect(definition.expected({ serviceAccount: "edge" }, bearer)).toBe("spiffe://*/ns/shop/sa/edge");
    expect(definition.expected({}, bearer)).toBe("spiffe://*/ns/*/sa/*");
  });

  it.each(["", "Edge", "-edge", "ns/edge", "*"])("cannot be of the ServiceAccount %j", (serviceAccount) => {
    const { error } = definition.identity.safeParse({ serviceAccount });
    expect(error?.issues.map((issue) => issue.message)).toEqual([
      'must be the name of a ServiceAccount, e.g. "edge-mesh"',
    ]);
  });
});

function modeOf(schema: ZodType): string {
  const { mode } = z.toJSONSchema(schema, { io: "input" }).properties ?? {};
  return typeof mode === "object" ? String(mode.const) : "";
}
