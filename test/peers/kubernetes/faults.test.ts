import { afterAll, expect, it, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { start } from "../../fixtures/cli.ts";
import { createLeaf, createRoot } from "../../fixtures/pki.ts";
import { startEmissary } from "../../e2e/emissary.ts";
import { freePorts } from "../ports.ts";
import { startPrometheus } from "../prometheus/server.ts";
import type { AttacheProcess } from "./attache-process.ts";
import { openedConsole } from "./console.ts";
import { createPod, operatorRules } from "./pod.ts";
import { Stage } from "./stage.ts";

/*
 * Faults of the night, each as an operator sees it within 30 s in `attache status`, `attache doctor`, the alerts of a
 * real Prometheus (pending at least: some fire minutes later) and the console: the table of docs/faults.md.
 */

const within = { timeout: 30_000, interval: 500 };

const open = new AsyncDisposableStack();
afterAll(() => open.disposeAsync());

/**
 * attaché in a pod, with three identities that are ready, an operator who may read, and a Prometheus in which `alert` is
 * not even pending. Other test files may expose consumers of their own in the same cluster.
 */
async function night(alert: string, settings: (stage: Stage) => object | Promise<object> = () => ({})) {
  const stage = open.use(await Stage.open());
  const { namespace, cluster } = stage;
  const installation = `in-${namespace}`;
  const [consolePort = 0] = await freePorts(1);
  const console = { enabled: true, listen: `127.0.0.1:${consolePort}` };
  const own = stage.settings({ installation, leaseDuration: "5s" });
  const all: object = { ...own, console, ...(await settings(stage)) };
  const attache = await stage.startWith(all);
  const targetOf = ({ port }: { readonly port: number }) => ({
    addresses: [`127.0.0.1:${port}`],
    labels: { namespace },
  });
  const prometheus = open.use(await startPrometheus([targetOf(attache)]));
  const pod = await createPod(cluster, { namespace, installation, attache });
  await stage.untilReady();
  const { kubeconfig } = await cluster.serviceAccount(namespace, "operator", operatorRules, { in: "*" });
  const run = (...args: string[]) => start([...args, "--kubeconfig", kubeconfig]).finished;
  expect(await run("doctor")).toMatchObject({ status: 0, stderr: "" });
  const alerting = async () =>
    (await prometheus.alerts()).some(
      ({ labels }) =>
        labels["alertname"] === alert &&
        labels["namespace"] === namespace &&
        labels["installation"] === installation,
    );
  await vi.waitFor(async () => expect(await prometheus.query("attache_leader == 1")).toHaveLength(1), within);
  expect(await alerting()).toBe(false);
  const retarget = (successor: AttacheProcess) => prometheus.retarget([targetOf(successor)]);
  const page = openedConsole(consolePort);
  return { stage, attache, settings: all, installation, pod, run, page, alerting, retarget };
}

type Night = Awaited<ReturnType<typeof night>>;

/** Both commands fail, and say so. */
async function shows({ run }: Night, status: RegExp, doctor: RegExp): Promise<void> {
  await vi.waitFor(async () => {
    const said = await run("status");
    expect(said.stdout).toMatch(status);
    expect(said.status).toBe(1);
  }, within);
  const said = await run("doctor");
  expect(said.stdout).toMatch(doctor);
  expect(said.status).toBe(1);
}

/** The alert is pending at least, and the console has `console` in its first view. */
async function alarms({ alerting, page }: Night, console?: object): Promise<void> {
  await vi.waitFor(async () => {
    expect(await alerting()).toBe(true);
    if (console !== undefined) expect(await page.overview()).toMatchObject(console);
  }, within);
}

function patchOf({ stage: { namespace, cluster } }: Night) {
  const secret = (name: string) => pathOf(resources.secrets, { namespace, name });
  return { secret, admin: cluster.admin };
}

it("SIGKILL of the only process", async () => {
  const found = await night("AttacheDown");
  found.attache.signal("SIGKILL");
  await shows(
    found,
    /^attaché {5}does not work: .* and no replica has taken it since; 1 of 1 replicas are ready/m,
    /^NO +lease attache-in-.* does not work: .*\n(?:.*\n)*NO +replica .*\/attache-/m,
  );
  await alarms(found);
  await expect(found.page.overview()).rejects.toThrow("ECONNREFUSED");
});

it("a Mapping in plaintext, whose context is misspelt", async () => {
  const found = await night("AttacheConsumersExposed");
  const { namespace, cluster } = found.stage;
  await cluster.admin.create(pathOf(resources.mappings, { namespace }), {
    apiVersion: "getambassador.io/v3alpha1",
    kind: "Mapping",
    metadata: { name: "quote" },
    spec: { hostname: "*", prefix: "/", service: "quote", tls: `${namespace}-typo` },
  });
  await shows(
    found,
    /^consumers {3}1 plaintext, of 1$/m,
    new RegExp(`^NO +consumers +exposed: Mapping ${namespace}/quote \\(plaintext\\)$`, "m"),
  );
  const consumer = { kind: "Mapping", namespace, name: "quote", severity: "plaintext" };
  const consumers = expect.arrayContaining([expect.objectContaining(consumer)]) as unknown;
  await alarms(found, { verdict: { level: "alarm" }, consumers });
});

it("a mesh that is away, with 200 identities", async () => {
  const found = await night("AttacheMeshDisconnected");
  const { stage } = found;
  await stage.signer[Symbol.asyncDispose]();
  for (let index = 0; index < 200; index += 1) await stage.create(`crowd-${index}`);
  await vi.waitFor(async () => {
    const { stdout, status } = await found.run("status");
    expect(stdout).toMatch(/^identities {2}3 of 203 ready$/m);
    const causes = stdout.split("\n").filter((line) => /^\d+ identities of mesh signer, /.test(line));
    expect(causes).toHaveLength(1);
    expect(causes[0]).toMatch(/^20\d identities of mesh signer, SourceReady: /);
    expect(status).toBe(1);
  }, within);
  const { stdout, status } = await found.run("doctor");
  expect(stdout).toMatch(/^NO +20\d identities of mesh signer +SourceReady: /m);
  expect(stdout.split("\n").length).toBeLessThan(60);
  expect(status).toBe(1);
  await alarms(found, {
    causes: [{ type: "SourceReady", mesh: "signer", count: expect.closeTo(203, -1) as number }],
    meshes: [{ name: "signer", level: "warning", identities: 203, ready: 3 }],
  });
});

it("a reload that is refused, until the file is good again", async () => {
  const found = await night("AttacheReloadFailed");
  const { stage, attache, settings, pod, run } = found;
  await attache.configure({ ...settings, nonsense: true });
  await vi.waitFor(async () => {
    const { stdout, status } = await run("doctor");
    expect(stdout).toMatch(
      new RegExp(
        `^NO +settings +refused at \\S+Z, ATTACHE_DOCUMENT_INVALID; the old ones .* in ${pod}$`,
        "m",
      ),
    );
    expect(status).toBe(1);
    const [event] = (await stage.events()).filter(({ object }) => object["reason"] === "SettingsRefused");
    expect(event?.object).toMatchObject({ type: "Warning", regarding: { kind: "Pod" } });
    expect(event?.object["note"]).toContain("nonsense: unknown key");
  }, within);
  await alarms(found, {
    answers: {
      working: { level: "warning", text: expect.stringContaining("ATTACHE_DOCUMENT_INVALID") as string },
    },
  });
  await vi.waitFor(async () => {
    const { stdout, status } = await run("status");
    expect(stdout).toMatch(
      /^attaché {5}works: .* refused the settings in its file at \S+Z \(ATTACHE_DOCUMENT_INVALID\); the old ones stay in force$/m,
    );
    expect(status).toBe(0);
  }, within);
  await attache.configure(settings);
  await vi.waitFor(async () => {
    expect((await run("doctor")).status).toBe(0);
    expect((await run("status")).stdout).not.toContain("refused");
  }, within);
});

it("an Emissary that is frozen by a torn pair of another client", async () => {
  const found = await night("AttacheEmissaryFrozen", async ({ cluster: { access, admin }, namespace }) => {
    const emissary = open.use(await startEmissary({ access, admin, namespace }));
    return { emissary: [{ ...emissary.settings, nudgeAfter: "1s" }] };
  });
  const { stage } = found;
  const { namespace, cluster } = stage;
  const [name = ""] = stage.names;
  const apply = (path: string, object: object) => cluster.admin.apply(path, object);
  const mapping = (mapped: string, tls: string, port: number) =>
    apply(pathOf(resources.mappings, { namespace, name: mapped }), {
      ...{ apiVersion: "getambassador.io/v3alpha1", kind: "Mapping", metadata: { name: mapped } },
      spec: {
        hostname: "*",
        prefix: `/${mapped}/`,
        service: `https://127.0.0.1:${port}`,
        stats_name: mapped,
        tls,
      },
    });
  await mapping("web", name, 9);
  await stage.until("Served", "True/Served", name);
  const [one, other] = [await createLeaf(await createRoot()), await createLeaf(await createRoot())];
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  await apply(pathOf(resources.secrets, { namespace, name: "theirs" }), {
    ...{ apiVersion: "v1", kind: "Secret", metadata: { name: "theirs" } },
    data: { "tls.crt": base64(one.pem), "tls.key": base64(other.keyPem) },
  });
  await apply(pathOf(resources.tlsContexts, { namespace, name: `${namespace}-theirs` }), {
    ...{ apiVersion: "getambassador.io/v3alpha1", kind: "TLSContext" },
    ...{ metadata: { name: `${namespace}-theirs` }, spec: { secret: "theirs" } },
  });
  await mapping("theirs", `${namespace}-theirs`, 10);
  await stage.renew(name, "now");
  await shows(found, /FROZEN/, /^NO +configuration of the ingress/m);
  await alarms(found, {
    answers: {
      exposed: {
        level: "alarm",
        text: expect.stringContaining("1 Emissary pod takes no configuration") as string,
      },
    },
  });
});

it("an identity that is orphaned", async () => {
  const found = await night("AttacheOrphaned", () => ({
    allow: [{ namespaces: ["*"], mesh: "*", spiffeIds: ["spiffe://**"], tlsContexts: ["*"] }],
  }));
  const { stage, attache, settings, run } = found;
  const { other, namespace, cluster } = stage;
  await stage.create("left", {}, other);
  await cluster.admin.patch(pathOf(resources.meshCertificates, { namespace: other, name: "left" }), {
    metadata: { annotations: { "meta.helm.sh/release-namespace": namespace } },
  });
  await stage.until("Ready", "True/Valid", "left", other);
  const { store } = settings as { store: { kubernetes: object } };
  const fewer = { ...store, kubernetes: { ...store.kubernetes, namespaces: [namespace] } };
  await attache.configure({ ...settings, store: fewer });
  await vi.waitFor(async () => {
    const { stdout, status } = await run("status", "-A");
    expect(stdout).toMatch(new RegExp(`^${other}/left +signer +NO \\(Orphaned\\)`, "m"));
    expect(stdout).toContain(`${other}/left Ready: The certificate is not renewed any more`);
    expect(status).toBe(1);
  }, within);
  const { stdout } = await run("doctor", "-n", other);
  expect(stdout).toMatch(/^NO +identity of mesh signer +Ready: The certificate is not renewed any more/m);
  await alarms(found, {
    answers: {
      current: { level: "alarm", text: "1 identity orphaned: no attaché renews what is published." },
    },
  });
});

it("a root that another client has planted", async () => {
  const found = await night("AttacheUnknownRoot");
  const { stage, attache, settings } = found;
  const { admin, secret } = patchOf(found);
  const [name = ""] = stage.names;
  attache.signal("SIGKILL");
  await attache.ended;
  const path = secret(`${name}-mesh-ca`);
  interface CaSecret {
    metadata: { annotations: Record<string, string> };
    data: { "tls.crt": string };
  }
  const { metadata, data } = await admin.get<CaSecret>(path);
  const { certificate: evil } = await createRoot({ notAfter: new Date("2099-01-01T00:00:00Z") });
  const record = [
    ...(JSON.parse(metadata.annotations["attache.dev/roots"] ?? "[]") as unknown[]),
    { fingerprint: evil.fingerprint, retireAt: "2098-12-31T00:00:00.000Z" },
  ];
  await admin.patch(path, {
    metadata: { annotations: { "attache.dev/roots": JSON.stringify(record) } },
    data: {
      "tls.crt": Buffer.from(Buffer.from(data["tls.crt"], "base64").toString() + evil.toPem()).toString(
        "base64",
      ),
    },
  });
  await found.retarget(await stage.startWith(settings));
  const root = evil.fingerprint.slice(0, 16);
  await shows(
    found,
    new RegExp(`^\\S+ Root: .*${root}`, "m"),
    new RegExp(`^NO +identity of mesh signer +Root: .*${root}`, "m"),
  );
  await alarms(found, {
    verdict: { level: "alarm" },
    causes: [{ type: "Root", reason: "Unknown", level: "alarm" }],
  });
});
