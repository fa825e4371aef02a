import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Cluster, cluster } from "../kubernetes/cluster.ts";
import type { Resource } from "../kubernetes/rest.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";
import { chart, helm, helms, objectsOf, templateText } from "./chart.ts";
import { temporaryFolder } from "./temporary.ts";

/** One mesh, one identity. */
const smallest = { meshes: { istio: { enabled: true } } };
/** With all that is off by default. */
const everything = {
  ...smallest,
  console: { auth: true },
  ...Object.fromEntries(
    [
      ...["serviceMonitor", "podMonitor", "prometheusRule", "dashboard"],
      ...["networkPolicy", "admissionPolicy", "deletionPolicy"],
    ].map((name) => [name, { enabled: true }]),
  ),
};
const digest = `sha256:${"0".repeat(64)}`;
const adopting = {
  name: "edge",
  spec: { istio: { serviceAccount: "edge" }, target: { adopt: true } },
};

/** A change of each value, and what then is rendered that was not before; nothing: what is then absent. */
const effects: Readonly<Record<string, readonly [change: unknown, rendered: string, absent?: true]>> = {
  enabled: [false, "kind: Deployment", true],
  nameOverride: ["certificates", "name: attache-certificates"],
  fullnameOverride: ["certificates", "name: certificates"],
  commonLabels: [{ team: "ingress" }, '"team":"ingress"'],
  "image.registry": ["registry.example.org", 'image: "registry.example.org/attache:'],
  "image.repository": ["mesh/attache", 'image: "mesh/attache:'],
  "image.tag": ["1.2.3", ':1.2.3"'],
  "image.digest": [digest, `image: "attache@${digest}"`],
  "image.pullPolicy": ["Never", "imagePullPolicy: Never"],
  imagePullSecrets: [[{ name: "pull" }], 'imagePullSecrets: [{"name":"pull"}]'],
  replicas: [1, "kind: PodDisruptionBudget", true],
  installation: ["east", "attache-east"],
  namespaces: [["shop"], "namespace: shop"],
  "consumers.clusterWide": [false, "kind: ClusterRole, name: emissary-attache }", true],
  identities: [[adopting], "kind: MeshCertificate"],
  allow: [
    [{ namespaces: ["shop"], mesh: "istio", spiffeIds: ["spiffe://**"], tlsContexts: ["shop"] }],
    "- spiffe://**",
  ],
  emissary: [[{}], "resources: [endpointslices]"],
  "console.enabled": [false, "console:\n      enabled: true", true],
  "console.auth": [true, "resources: [tokenreviews]"],
  "log.level": ["debug", "level: debug"],
  settings: [{ limits: { clockSkew: "5s" } }, "clockSkew: 5s"],
  "rbac.aggregate": [false, "aggregate-to-view", true],
  "rbac.identitiesOnly": [true, "no MeshCertificate under identities in the values"],
  "rbac.admissionPolicy": [false, "kind: ValidatingAdmissionPolicy", true],
  "rbac.adopted": [{ emissary: ["mine"] }, '{"emissary":["mine"]}'],
  "serviceAccount.create": [false, "kind: ServiceAccount\nmetadata: { name: attache,", true],
  "serviceAccount.name": ["other", "serviceAccountName: other"],
  "serviceAccount.annotations": [{ "example.org/role": "edge" }, '{"example.org/role":"edge"}'],
  "service.port": [80, "port: 80,"],
  "service.annotations": [{ "example.org/a": "b" }, '{"example.org/a":"b"}'],
  "service.ipFamilyPolicy": ["RequireDualStack", "ipFamilyPolicy: RequireDualStack"],
  "service.ipFamilies": [["IPv6"], 'ipFamilies: ["IPv6"]'],
  "serviceMonitor.enabled": [true, "kind: ServiceMonitor"],
  "podMonitor.enabled": [true, "kind: PodMonitor"],
  "prometheusRule.enabled": [true, "kind: PrometheusRule"],
  "dashboard.enabled": [true, "name: attache-dashboard"],
  "networkPolicy.enabled": [true, "kind: NetworkPolicy"],
  "admissionPolicy.enabled": [true, "emissary-attache-tls-contexts"],
  podAnnotations: [
    { "example.org/a": "b" },
    '"consul.hashicorp.com/connect-inject":"false","example.org/a":"b"',
  ],
  podLabels: [{ "example.org/a": "b" }, '"example.org/a":"b"'],
  podSecurityContext: [{ fsGroup: null }, '"fsGroup":65532', true],
  securityContext: [{ capabilities: null }, '"capabilities":{"drop":["ALL"]}', true],
  adaptSecurityContext: ["force", '"runAsUser":65532', true],
  startupProbe: [{ failureThreshold: 7 }, '"failureThreshold":7'],
  livenessProbe: [{ timeoutSeconds: 7 }, '"timeoutSeconds":7'],
  readinessProbe: [{ periodSeconds: 7 }, '"periodSeconds":7'],
  strategy: [{ type: "Recreate" }, 'strategy: {"type":"Recreate"}'],
  revisionHistoryLimit: [3, "revisionHistoryLimit: 3"],
  nodeSelector: [{ disk: "ssd" }, 'nodeSelector: {"disk":"ssd"}'],
  tolerations: [[{ operator: "Exists" }], 'tolerations: [{"operator":"Exists"}]'],
  affinity: [{ podAntiAffinity: {} }, "preferredDuringSchedulingIgnoredDuringExecution", true],
  topologySpreadConstraints: [
    [{ maxSkew: 1 }],
    '{"labelSelector":{"matchLabels":{"app.kubernetes.io/instance"',
  ],
  priorityClassName: ["high", "priorityClassName: high"],
  hostAliases: [[{ ip: "10.0.0.1" }], 'hostAliases: [{"ip":"10.0.0.1"}]'],
  dnsPolicy: ["None", "dnsPolicy: None"],
  dnsConfig: [{ searches: ["a.example"] }, 'dnsConfig: {"searches":["a.example"]}'],
  resources: [{ limits: { memory: "1Gi" } }, '"memory":"1Gi"'],
  volumes: [[{ name: "mine", emptyDir: {} }], "name: mine"],
  volumeMounts: [[{ name: "mine", mountPath: "/mine" }], "mountPath: /mine"],
  env: [[{ name: "A", value: "b" }], "value: b"],
  initContainers: [[{ name: "first" }], "initContainers:"],
  extraContainers: [[{ name: "beside" }], "name: beside"],
  "preflight.enabled": [false, '"helm.sh/hook":"pre-delete"', true],
  "deletionPolicy.enabled": [true, "emissary-attache-deletion"],
  "crds.enabled": [false, '"--crd"', true],
  extraObjects: [["kind: Extra\nname: {{ .Release.Name }}-extra"], "name: attache-extra"],
};

/** Of these only the value that needs them shows an effect. */
const dependent: typeof effects = {
  "serviceMonitor.interval": ["30s", '"interval":"30s"'],
  "serviceMonitor.labels": [{ release: "prometheus" }, '"release":"prometheus"'],
  "podMonitor.interval": ["20s", '"interval":"20s"'],
  "podMonitor.labels": [{ release: "pods" }, '"release":"pods"'],
  "prometheusRule.labels": [{ release: "rules" }, '"release":"rules"'],
  "prometheusRule.runbooks": ["https://wiki.example", "https://wiki.example/AttacheDown.md"],
  "dashboard.labels": [{ dashboards: "mesh" }, '"dashboards":"mesh"'],
  "dashboard.annotations": [{ grafana_folder: "Mesh" }, '"grafana_folder":"Mesh"'],
  "dashboard.namespace": ["grafana", "namespace: grafana"],
  "networkPolicy.scrapers": [[{ podSelector: {} }], 'from: [{"podSelector":{}}]'],
  "networkPolicy.consoleClients": [[{ podSelector: {} }], "ports: [{ port: console }]"],
  "networkPolicy.apiServer": [[{ ipBlock: { cidr: "10.1.2.3/32" } }], "10.1.2.3/32"],
  "networkPolicy.egress": [[{ ports: [{ port: 8081 }] }], "port: 8081"],
  "deletionPolicy.users": [["admin"], '"admin"]'],
  "admissionPolicy.contexts": [{ public: ["*"] }, '"public":["*"]'],
  "admissionPolicy.annotations": [["shop"], '["shop"]'],
  "admissionPolicy.namespaceSelector": [{ matchLabels: { judged: "yes" } }, "judged"],
};

/** Those that the README of the chart lists. */
const rows = [...(await readFile(join(chart, "README.md"), "utf8")).matchAll(/^\| `([^`]+)` \| `/gm)].map(
  ([, path = ""]) => path,
);

describe("a value of the chart", () => {
  it.each(Object.entries(effects))("%s has an effect", async (path, [change, rendered, isAbsent]) => {
    await expectEffect(smallest, path, change, { rendered, isAbsent });
  });

  it.each(Object.entries(dependent))("%s has an effect where it counts", async (path, [change, rendered]) => {
    const [parent = ""] = path.split(".");
    const values = { ...smallest, console: { auth: true }, [parent]: { enabled: true } };
    await expectEffect(values, path, change, { rendered });
  });

  it("has such a test, each of them", () => {
    // Those of a mesh are tried in examples.test.ts.
    const paths = rows.filter((path) => !path.startsWith("meshes."));
    // A map of Kubernetes' own is one value.
    const tested = [...Object.keys(effects), ...Object.keys(dependent)];
    const untested = paths.filter(
      (path) => !tested.some((one) => path === one || path.startsWith(`${one}.`)),
    );
    expect(untested).toEqual([]);
  });
});

async function expectEffect(
  base: object,
  path: string,
  change: unknown,
  { rendered, isAbsent }: { readonly rendered: string; readonly isAbsent?: true | undefined },
): Promise<void> {
  const [before, after] = await Promise.all([
    templateText({ values: base }),
    templateText({ values: changed(base, path, change) }),
  ]);
  expect(before.includes(rendered), path).toBe(isAbsent === true);
  expect(after.includes(rendered), path).toBe(isAbsent !== true);
}

function changed(base: object, path: string, change: unknown): object {
  const values = structuredClone(base) as Record<string, unknown>;
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let place = values;
  for (const key of keys) place = (place[key] ??= {}) as Record<string, unknown>;
  place[last] = change;
  return values;
}

describe("the chart", () => {
  it("leaves its security contexts to the cluster where they are null", async () => {
    const values = { ...smallest, podSecurityContext: null, securityContext: null };
    const text = await templateText({ values });
    expect(text).toContain("securityContext: {}");
    expect(text).not.toContain("runAsNonRoot");
  });

  it.each(rows)("takes null for %s, or says what belongs there", async (path) => {
    const [name = ""] = path.split(".").slice(-1);
    const answer = await templateText({ values: changed(everything, path, null) }).catch(String);
    expect(answer).not.toContain("execution error");
    expect(answer.includes(`missing property '${name}'`) || answer.startsWith("---"), answer).toBe(true);
  });

  it("renders less than 400 lines for the smallest values", async () => {
    expect((await templateText({ values: smallest })).split("\n").length).toBeLessThan(400);
  });

  it("adapts its security contexts to OpenShift, which it recognizes by its API", async () => {
    const flags = ["--api-versions", "security.openshift.io/v1"];
    expect(await templateText({ values: smallest, flags })).not.toContain("runAsUser");
  });

  it("lets no mesh inject a sidecar into its Jobs, which would not end", async () => {
    const jobs = objectsOf(await templateText({ values: smallest })).filter((one) => one["kind"] === "Job");
    expect(jobs).toHaveLength(2);
    for (const job of jobs)
      expect(job["spec"]).toMatchObject({
        template: {
          metadata: {
            labels: { "sidecar.istio.io/inject": "false" },
            annotations: { "consul.hashicorp.com/connect-inject": "false" },
          },
        },
      });
  });

  it("asks the cluster nothing when it renders", async () => {
    for (const name of await readdir(join(chart, "templates"), { recursive: true })) {
      if (!/\.(yaml|tpl|txt)$/.test(name)) continue;
      expect(await readFile(join(chart, "templates", name), "utf8"), name).not.toMatch(/\blookup "/);
    }
  });

  it("reaches with its NetworkPolicy what is configured, and is reached by scrapers alone", async () => {
    const values = {
      meshes: {
        consul: { enabled: true, release: { name: "consul", namespace: "consul" } },
        east: {
          enabled: true,
          adapter: "consul",
          mode: "http",
          address: "https://agent.example:8501/consul",
        },
        istio: { enabled: true, address: "istiod-canary.istio-system.svc:15012" },
      },
      emissary: [{ namespace: "ingress", port: 8878 }],
      networkPolicy: { enabled: true },
    };
    const policy = objectsOf(await templateText({ values })).find(({ kind }) => kind === "NetworkPolicy");
    const home = (name: string) => ({
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } },
    });
    expect(policy?.["spec"]).toMatchObject({
      ingress: [],
      egress: [
        {
          ports: [
            { port: 53, protocol: "UDP" },
            { port: 53, protocol: "TCP" },
          ],
        },
        { ports: [{ port: 443 }, { port: 6443 }] },
        { ports: [{ port: 8502 }], to: [home("consul")] },
        { ports: [{ port: 8501 }] },
        { ports: [{ port: 15012 }] },
        { ports: [{ port: 8878 }], to: [home("ingress")] },
      ],
    });
  });
});

const combinations = (await readdir(join(chart, "ci"))).map((name) => join("ci", name));
const examples = (await readdir(join(chart, "examples"))).map((name) => join("examples", name));

describe.each([...combinations, ...examples])("%s", (file) => {
  it.each(helms)("passes the lint of %s, and its dry run of an installation", async (by) => {
    const { access, namespace } = await cluster();
    const own = await namespace();
    await helm(["lint", chart, "--strict", "-f", join(chart, file)], {}, by);
    const kubeconfig = join(await temporaryFolder(), "kubeconfig");
    await writeFile(kubeconfig, kubeconfigOf(access, own));
    const flags = ["-n", own, "-f", join(chart, file), "--kubeconfig", kubeconfig, "--dry-run=server"];
    await helm(["install", "attache", chart, ...flags], {}, by);
  });

  it("renders the same with each version of helm, and passes a server-side dry run of a real API server", async () => {
    const { kubectl, namespace } = await cluster();
    const own = await namespace();
    const rendering = { namespace: own, values: {}, files: [file] };
    const [text = "", ...others] = await Promise.all(helms.map((by) => templateText({ ...rendering, by })));
    for (const other of others) expect(objectsOf(other)).toEqual(objectsOf(text));
    await expectTaken(objectsOf(text), own, kubectl);
  });
});

it("has names that a real API server takes, also of a release whose name is as long as Helm allows", async () => {
  const { kubectl, namespace } = await cluster();
  const own = await namespace();
  const values = { ...smallest, nameOverride: "certificates-of-the-mesh" };
  const text = await templateText({ release: "r".repeat(53), namespace: own, values });
  await expectTaken(objectsOf(text), own, kubectl);
});

/** By a dry run. Their own namespaces are not created here. */
async function expectTaken(rendered: readonly Resource[], own: string, kubectl: Cluster["kubectl"]) {
  const items = rendered.map((object) => ({
    ...object,
    metadata: { ...object.metadata, ...(object.metadata["namespace"] !== undefined && { namespace: own }) },
  }));
  const file = await written(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const flags = ["--server-side", "--dry-run=server", "--validate=strict"];
  const applied = await kubectl("apply", ...flags, "-f", file);
  expect(applied.trim().split("\n")).toHaveLength(items.length);
}

describe("Pod Security restricted", () => {
  /** What the API server says of all pods that the chart makes: Deployment, Jobs, test. */
  async function refused(file: string, values: object): Promise<readonly string[]> {
    const { admin, namespace } = await cluster();
    const own = await namespace();
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
    await admin.patch(`/api/v1/namespaces/${own}`, { metadata: { labels } });
    const objects = objectsOf(await templateText({ namespace: own, values, files: [file] }));
    const pods = objects.flatMap(({ kind, spec }) =>
      kind === "Pod" ? [{ spec }] : ((spec as { readonly template?: object } | undefined)?.template ?? []),
    );
    expect(pods).toHaveLength(4);
    const answers = pods.map(async (pod) => {
      const metadata = { name: "pod", namespace: own };
      return admin.call("POST", `/api/v1/namespaces/${own}/pods?dryRun=All`, {
        ...{ apiVersion: "v1", kind: "Pod", metadata },
        spec: (pod as { readonly spec: object }).spec,
      });
    });
    return (await Promise.all(answers)).flatMap(({ status, body }) =>
      status === 201 ? [] : JSON.stringify(body),
    );
  }

  it.each(examples)("admits all pods of %s", async (file) => {
    expect(await refused(file, {})).toEqual([]);
  });

  it("does not admit a hostPath, and says so", async () => {
    const values = {
      meshes: { spiffe: { endpointSocket: "unix:///run/spire/agent.sock" } },
      volumes: [{ name: "socket", hostPath: { path: "/run/spire" } }],
      volumeMounts: [{ name: "socket", mountPath: "/run/spire", readOnly: true }],
    };
    const answers = await refused("examples/spire.yaml", values);
    // Deployment and test mount it.
    expect(answers).toHaveLength(2);
    for (const answer of answers) expect(answer).toContain("restricted volume type");
  });
});

it.each(examples)("%s is installed, upgraded and uninstalled by helm 3, too", async (file) => {
  const { access, admin, namespace } = await cluster();
  const own = await namespace();
  const kubeconfig = join(await temporaryFolder(), "kubeconfig");
  await writeFile(kubeconfig, kubeconfigOf(access, own));
  const run = (verb: string, ...more: readonly string[]) =>
    helm([verb, "attache", ...more, "-n", own, "--kubeconfig", kubeconfig], {}, "helm3");
  const given = [chart, "-f", join(chart, file), "--set", `identities[0].spec.target.tlsContext.name=${own}`];
  await run("install", ...given);
  // No kubelet runs its hooks.
  await run("upgrade", ...given, "--no-hooks", "--set", "log.level=debug");
  const settings = `/api/v1/namespaces/${own}/configmaps/attache`;
  expect(JSON.stringify(await admin.get(settings))).toContain("level: debug");
  await run("uninstall", "--no-hooks");
  expect((await admin.call("GET", settings)).status).toBe(404);
});

it("has a label of its version that Kubernetes takes, also with build metadata", async () => {
  const folder = await temporaryFolder();
  await cp(chart, folder, { recursive: true });
  const file = join(folder, "Chart.yaml");
  await writeFile(file, (await readFile(file, "utf8")).replace("version: 0.1.0", "version: 0.1.0+build.7"));
  const [first] = objectsOf(await helm(["template", "attache", folder, "-f", "-"], smallest));
  expect(first?.metadata["labels"]).toMatchObject({ "helm.sh/chart": "attache-0.1.0_build.7" });
});

async function written(text: string): Promise<string> {
  const file = join(await temporaryFolder(), "objects.json");
  await writeFile(file, text);
  return file;
}
