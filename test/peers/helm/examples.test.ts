import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { loadSettings } from "../../../src/config/load.ts";
import { definitions } from "../../../src/registry/registry.ts";
import type { Resource } from "../kubernetes/rest.ts";
import { helm, objectsOf, only, template } from "./chart.ts";

/**
 * Names that the meshes' own charts give, each with the file that says it. Compare them when a new version of a chart
 * comes out.
 */
const facts = {
  /** hashicorp/consul-k8s v2.0.3 */
  consul: {
    /** charts/consul/templates/server-service.yaml: `FULLNAME-server`, port `grpc`; with TLS if it is on. */
    server: "consul-server.consul.svc:8502",
    /** control-plane/subcommand/tls-init/command.go: `NAME_PREFIX-ca-cert`, key `tls.crt`. */
    caSecret: { name: "consul-ca-cert", key: "tls.crt" },
    /** charts/consul/templates/connect-inject-deployment.yaml: -acl-auth-method. */
    authMethod: "consul-k8s-auth-method",
  },
  /** istio/istio 1.31.0-rc.0, manifests/charts/istio-control/istio-discovery */
  istio: {
    /** templates/service.yaml: port `https-dns`. */
    address: "istiod.istio-system.svc:15012",
    /** files/injection-template.yaml: the volume `istiod-ca-cert`. */
    roots: "istio-ca-root-cert",
    /** pilot/pkg/features: `PILOT_CRL_CONFIGMAP`. */
    crls: "istio-ca-crl",
    /** files/injection-template.yaml: the volume that agent and application share, and where. */
    socket: { name: "workload-socket", mountPath: "/var/run/secrets/workload-spiffe-uds" },
    /** files/injection-template.yaml: with it, there is no init container and no traffic is redirected. */
    interception: { "sidecar.istio.io/interceptionMode": "NONE" },
    inject: { "sidecar.istio.io/inject": "true" },
  },
  /** spiffe/helm-charts-hardened spire-0.30.0 */
  spire: {
    /** charts/spire/charts/spiffe-csi-driver/values.yaml: pluginName. */
    driver: "csi.spiffe.io",
    /** charts/spire/charts/spire-agent/README.md: socketAlternate.names. */
    sockets: ["socket", "spire-agent.sock", "api.sock"],
  },
} as const;

describe("a values file of the chart's examples", () => {
  it("exists for each mesh", async () => {
    const folder = join(import.meta.dirname, "../../../deploy/helm/attache/examples");
    expect((await readdir(folder)).toSorted()).toEqual(
      ["consul-acl", "consul", "istio-sidecar", "istio", "spire"].map((name) => `${name}.yaml`),
    );
  });

  it("reaches consul-k8s over TLS, by the CA that it keeps in a Secret", async () => {
    const { consul, pod } = await example("consul");
    expect(consul).toMatchObject({
      addresses: [facts.consul.server],
      tls: { caFile: "/var/run/attache/consul/ca.crt" },
    });
    expect(consul).not.toHaveProperty("login");
    const { name, key } = facts.consul.caSecret;
    const secret = { name, optional: true, items: [{ key, path: "ca.crt" }] };
    expect(pod.volumes).toContainEqual({ name: "mesh-consul", projected: { sources: [{ secret }] } });
    expect(pod.mounts).toContainEqual({
      name: "mesh-consul",
      mountPath: "/var/run/attache/consul",
      readOnly: true,
    });
  });

  it("logs in with the auth method of consul-k8s, also as the ServiceAccount that the chart creates", async () => {
    const { consul, objects } = await example("consul-acl");
    const { authMethod } = facts.consul;
    expect(consul).toMatchObject({ login: { authMethod }, serviceAccountLogin: { authMethod } });
    expect(only(objects, "ServiceAccount", "edge")).toMatchObject({ automountServiceAccountToken: false });
    expect(only(objects, "Role", "attache-tokens")["rules"]).toMatchObject([{ resourceNames: ["edge"] }]);
  });

  it("asks istiod for the ServiceAccount that the chart creates, and reads its roots", async () => {
    const { istio, objects, pod } = await example("istio");
    expect(istio).toMatchObject({ mode: "istiod", address: facts.istio.address });
    const rules = only(objects, "Role", "attache-own")["rules"];
    expect(rules).toContainEqual(
      expect.objectContaining({ resourceNames: [facts.istio.roots, facts.istio.crls] }),
    );
    expect(only(objects, "ServiceAccount", "edge").metadata["namespace"]).toBe("emissary");
    expect(pod.labels).toMatchObject({ "sidecar.istio.io/inject": "false" });
  });

  it("gets a sidecar and its agent's socket, and keeps its own traffic out of Envoy", async () => {
    const { istio, pod } = await example("istio-sidecar");
    expect(istio).toEqual({ mode: "sds" });
    expect(pod).toMatchObject({ labels: facts.istio.inject, annotations: facts.istio.interception });
    expect(pod.volumes).toContainEqual({ name: facts.istio.socket.name, emptyDir: {} });
    expect(pod.mounts).toContainEqual(facts.istio.socket);
  });

  it("mounts the socket of SPIRE's agent by the CSI driver", async () => {
    const { spiffe, pod } = await example("spire");
    const socket = "/var/run/attache/spiffe/spire-agent.sock";
    expect(spiffe).toMatchObject({ endpointSocket: `unix://${socket}` });
    expect(facts.spire.sockets).toContain(socket.split("/").at(-1));
    expect(pod.volumes).toContainEqual({
      name: "mesh-spiffe",
      csi: { driver: facts.spire.driver, readOnly: true },
    });
  });
});

it("has the names that Istio's own chart gives, of the version that is a peer", async () => {
  const module = join(import.meta.dirname, "../istio");
  const { stdout } = await promisify(execFile)("go", ["mod", "download", "-json", "istio.io/istio"], {
    cwd: module,
  });
  const { Dir } = JSON.parse(stdout) as { readonly Dir: string };
  const chart = join(Dir, "manifests/charts/istio-control/istio-discovery");
  const objects = objectsOf(await helm(["template", "istiod", chart, "-n", "istio-system"]));
  const { name, namespace } = only(objects, "Service").metadata;
  const { ports } = only(objects, "Service")["spec"] as { ports: readonly { name: string; port: number }[] };
  const port = ports.find((one) => one.name === "https-dns")?.port;
  expect(`${name}.${String(namespace)}.svc:${port}`).toBe(facts.istio.address);
  const { config = "" } = only(objects, "ConfigMap", "istio-sidecar-injector")["data"] as Record<
    string,
    string
  >;
  const { socket, roots } = facts.istio;
  expect(config).toMatch(new RegExp(`name: ${socket.name}\\s+mountPath: ${socket.mountPath}\\s`));
  expect(config).toContain(`"${roots}"`);
  for (const [annotation, value] of Object.entries(facts.istio.interception))
    expect(config).toContain(
      `(annotation .ObjectMeta \`${annotation}\` .ProxyConfig.InterceptionMode) \`${value}\``,
    );
});

const consul = (more: object) => ({ meshes: { consul: { enabled: true, ...more } } });
const release = { name: "consul", namespace: "consul" };
const edge = { name: "edge", spec: { consul: { service: "edge" } } };
const withTarget = (target: object) => ({ ...edge, spec: { ...edge.spec, target } });

describe("the value of a mesh", () => {
  it("takes Consul without TLS, in plain text and with no login of ServiceAccounts", async () => {
    const { consul: settings, pod } = await rendered(
      consul({ release: { ...release, tls: false, acls: true } }),
    );
    expect(settings).toMatchObject({ addresses: [`http://${facts.consul.server}`] });
    expect(settings).not.toHaveProperty("tls");
    expect(settings).not.toHaveProperty("serviceAccountLogin");
    expect(pod.volumes.map(({ name }) => name)).toEqual(["settings"]);
  });

  it("takes addresses, a Secret with the CA and an auth method with a token of its audience", async () => {
    const { consul: settings, pod } = await rendered(
      consul({
        addresses: ["consul.example:8503"],
        caSecret: { name: "our-ca", key: "ca.pem" },
        login: { authMethod: "attache", audience: "consul" },
      }),
    );
    expect(settings).toMatchObject({
      addresses: ["consul.example:8503"],
      tls: { caFile: "/var/run/attache/consul/ca.crt" },
      login: { authMethod: "attache", bearerTokenFile: "/var/run/attache/consul/token" },
    });
    const [, volume] = pod.volumes;
    expect(volume?.["projected"]).toEqual({
      sources: [
        { secret: { name: "our-ca", optional: true, items: [{ key: "ca.pem", path: "ca.crt" }] } },
        { serviceAccountToken: { path: "token", audience: "consul", expirationSeconds: 3600 } },
      ],
    });
  });

  it("needs no volume where the settings or the environment say where the socket is", async () => {
    const socket = "unix:///run/agent.sock";
    for (const values of [
      { meshes: { spiffe: { enabled: true, endpointSocket: socket } } },
      { meshes: { spiffe: { enabled: true } }, env: [{ name: "SPIFFE_ENDPOINT_SOCKET", value: socket }] },
    ]) {
      expect((await rendered(values)).pod.volumes.map(({ name }) => name)).toEqual(["settings"]);
    }
  });

  it.each([
    ["no mesh", {}, "no mesh is enabled: set `meshes.consul.enabled`"],
    [
      "an identity whose mesh is off",
      { ...consul({ release }), identities: [{ name: "edge", spec: { istio: {} } }] },
      'identities[0] (edge) needs the mesh "istio", which is off: set `meshes.istio.enabled` to true',
    ],
    [
      "an identity of istiod without ServiceAccount",
      { meshes: { istio: { enabled: true } }, identities: [{ name: "edge", spec: { istio: {} } }] },
      "identities[0] (edge) needs `spec.istio.serviceAccount`",
    ],
    [
      "an identity without a source",
      { ...consul({ release }), identities: [{ name: "edge", spec: {} }] },
      "identities[0] (edge) must have exactly one of `spec.consul`, `spec.istio`, `spec.spiffe` and `spec.plugin`; it has none",
    ],
    [
      "an identity with two sources",
      {
        ...consul({ release }),
        identities: [{ name: "edge", spec: { consul: { service: "a" }, istio: {} } }],
      },
      "it has consul and istio",
    ],
    [
      "the source of another mesh",
      { ...consul({ release }), identities: [{ name: "edge", spec: { mesh: "consul", spiffe: {} } }] },
      'identities[0] (edge) has `spec.spiffe`, and the mesh "consul" is of consul: write `spec.consul`',
    ],
    [
      "the identity of a plug-in without its mesh",
      { ...consul({ release }), identities: [{ name: "edge", spec: { plugin: {} } }] },
      "identities[0] (edge) has `spec.plugin`, which needs the name of its mesh: set `spec.mesh`",
    ],
    [
      "a ServiceAccount of Consul without ACLs",
      {
        ...consul({ release }),
        identities: [{ name: "edge", spec: { consul: { service: "edge", serviceAccount: "edge" } } }],
      },
      "identities[0] (edge) has `spec.consul.serviceAccount`, which needs an auth method and TLS: set `meshes.consul.release.acls` to true",
    ],
    [
      "an identity of another installation",
      { ...consul({ release }), identities: [{ ...edge, spec: { ...edge.spec, installation: "east" } }] },
      "identities[0] (edge) is for this release: leave out `spec.installation`, or set the value `installation`",
    ],
    [
      "an impossible label",
      { ...consul({ release }), identities: [withTarget({ labels: { "a b": "c" } })] },
      'identities[0] (edge) has the key "a b" in `spec.target.labels`: write NAME or DOMAIN/NAME',
    ],
    [
      "an annotation that Emissary would read",
      {
        ...consul({ release }),
        identities: [withTarget({ tlsContext: { annotations: { "getambassador.io/config": "x" } } })],
      },
      'identities[0] (edge) has the key "getambassador.io/config" in `spec.target.tlsContext.annotations`',
    ],
    [
      "a socket that is no address",
      { meshes: { spiffe: { enabled: true, endpointSocket: "/run/agent.sock" } } },
      'meshes.spiffe.endpointSocket is "/run/agent.sock": write an address like unix:///',
    ],
    [
      "a client certificate without its key",
      consul({ release, tls: { certFile: "/tls.crt" } }),
      "meshes.consul.tls needs both `certFile` and `keyFile`, or neither",
    ],
    [
      "an impossible name of the installation",
      { ...consul({ release }), installation: "East" },
      "at '/installation': 'East' does not match pattern",
    ],
    [
      "TLS versions in the wrong order",
      {
        ...consul({ release }),
        identities: [withTarget({ tlsContext: { minTlsVersion: "v1.3", maxTlsVersion: "v1.2" } })],
      },
      "identities[0] (edge) has a `spec.target.tlsContext.minTlsVersion` above its `maxTlsVersion`",
    ],
    [
      "two Secrets of one name",
      { ...consul({ release }), identities: [withTarget({ secret: "a", caSecret: "a" })] },
      "identities[0] (edge) publishes two Secrets of one name (a, a): `spec.target` must name different ones",
    ],
    [
      "two identities of one name",
      { ...consul({ release }), identities: [edge, edge] },
      "identities[1] (edge) has the name and namespace of identities[0] (edge): give it another name",
    ],
    [
      "attaché's own ServiceAccount, created twice",
      {
        meshes: { istio: { enabled: true, mode: "sds" } },
        identities: [
          { name: "edge", createServiceAccount: true, spec: { istio: { serviceAccount: "attache" } } },
        ],
      },
      "identities[0] (edge) would create the ServiceAccount attache, which is that of attaché",
    ],
    [
      "a ServiceAccount to create without its name",
      {
        ...consul({ release }),
        identities: [{ name: "edge", createServiceAccount: true, spec: { consul: { service: "edge" } } }],
      },
      "identities[0] (edge) has createServiceAccount and names none",
    ],
    ["Consul without place", consul({}), "meshes.consul needs `release`"],
    ["an agent of Consul without place", consul({ mode: "http" }), "meshes.consul.address is missing"],
    [
      "an unknown setting of a mesh",
      consul({ adress: "x" }),
      "'/meshes/consul': additional properties 'adress'",
    ],
    [
      "a setting of another mode",
      consul({ release, address: "x" }),
      "'/meshes/consul': additional properties 'address'",
    ],
    [
      "a typing error in the spec of an identity",
      { ...consul({ release }), identities: [{ name: "edge", spec: { consul: { servce: "edge" } } }] },
      "'/identities/0/spec/consul': additional properties 'servce'",
    ],
    [
      "a mesh under an impossible name",
      { meshes: { Consul: { enabled: true } } },
      "additional properties 'Consul'",
    ],
  ])("refuses %s with a sentence", async (_, values, said) => {
    await expect(template("attache", "emissary", values)).rejects.toThrow(said);
  });
});

interface Named extends Readonly<Record<string, unknown>> {
  readonly name: string;
}

interface Rendered {
  readonly objects: readonly Resource[];
  readonly pod: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
    readonly volumes: readonly Named[];
    readonly mounts: readonly Named[];
  };
  /** What each adapter makes of the settings. */
  readonly consul?: unknown;
  readonly istio?: unknown;
  readonly spiffe?: unknown;
}

async function example(name: string): Promise<Rendered> {
  return rendered({}, [`examples/${name}.yaml`]);
}

/** @throws DocumentError if attaché would refuse the settings */
async function rendered(values: object, files: readonly string[] = []): Promise<Rendered> {
  const objects = await template("attache", "emissary", values, files);
  const folder = await mkdtemp(join(tmpdir(), "attache-chart-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const config = join(folder, "attache.yaml");
  const { "attache.yaml": text = "" } = only(objects, "ConfigMap")["data"] as Record<string, string>;
  await writeFile(config, text);
  const loaded = await loadSettings(config);
  const meshes = Object.values(definitions)
    .filter(({ kind }) => kind in loaded.settings.meshes)
    .map(({ kind, settings }) => [kind, loaded.meshSettings<unknown>(kind, settings)] as const);
  const { template: pod } = only(objects, "Deployment")["spec"] as {
    readonly template: {
      readonly metadata: {
        readonly labels: Rendered["pod"]["labels"];
        readonly annotations?: Rendered["pod"]["annotations"];
      };
      readonly spec: { readonly volumes: Named[]; readonly containers: [{ readonly volumeMounts: Named[] }] };
    };
  };
  const { labels, annotations = {} } = pod.metadata;
  const { volumes, containers } = pod.spec;
  return {
    objects,
    pod: { labels, annotations, volumes, mounts: containers[0].volumeMounts },
    ...Object.fromEntries(meshes),
  };
}
