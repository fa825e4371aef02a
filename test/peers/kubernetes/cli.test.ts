import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type Finished, start } from "../../fixtures/cli.ts";
import { buildPeer } from "../build.ts";
import { longWait, Stage } from "./stage.ts";

const main = resolve(import.meta.dirname, "../../../src/main.ts");

const defaultBackend = { service: { name: "door", port: { number: 80 } } };

/** attaché where three identities are ready, and a user with what a reader and editor of them needs. */
async function world() {
  const stage = await Stage.open();
  onTestFinished(() => stage[Symbol.asyncDispose]());
  const attache = await stage.start();
  await stage.untilReady();
  const { kubeconfig } = await stage.cluster.serviceAccount(
    stage.namespace,
    "user",
    [
      { apiGroups: ["attache.dev"], resources: ["meshcertificates"], verbs: ["list", "watch", "patch"] },
      { apiGroups: [""], resources: ["secrets"], verbs: ["get"] },
      { apiGroups: ["getambassador.io"], resources: ["tlscontexts"], verbs: ["get"] },
    ],
    { in: [stage.namespace, stage.other] },
  );
  const run = (...args: string[]): Promise<Finished> => start([...args, "--kubeconfig", kubeconfig]).finished;
  return { stage, attache, kubeconfig, run };
}

describe("the commands, on a cluster", () => {
  it("tell how identities are, what is published, and ask for new leaves", async () => {
    const { stage, run } = await world();
    const { namespace, other } = stage;
    const [name = ""] = stage.names;

    const all = await run("status");
    expect(all.stderr).toBe("");
    expect(all.stdout).toMatch(new RegExp(`^${namespace}/${name} +signer +yes +- +unused +in `, "m"));
    expect(all.stdout).toContain("attaché     not known whether it works");
    expect(all.status).toBe(0);
    const elsewhere = await run("status", "-n", other);
    expect(elsewhere.stderr).toContain(
      `There is no MeshCertificate in the namespace ${other}; -A looks in all.`,
    );

    const inspected = await run("inspect", name);
    expect(inspected.stdout).toMatch(/^leaf +\[.* spiffe:/m);
    expect(inspected.stdout).toMatch(/^root +/m);
    expect(inspected.stdout).toContain(`Secret      ${namespace}/${name}-mesh-cert\n`);
    expect(inspected.stdout).toMatch(/^Ready +yes +Valid +\d+ (?:s|min) ago$/m);
    expect(inspected.stdout + inspected.stderr).not.toContain("PRIVATE KEY");

    const asked = stage.signer.asked.length;
    const before = (await stage.identity(name)).status;
    const renewed = await run("renew", name);
    expect(renewed.stdout).toBe(`${namespace}/${name}: a new leaf is asked for\n`);
    expect(renewed.status).toBe(0);
    await vi.waitFor(async () => {
      expect(stage.signer.asked).toHaveLength(asked + 1);
      expect((await stage.identity(name)).status).not.toEqual(before);
    }, longWait);

    const { roots } = (await stage.identity(name)).status as { roots?: { fingerprint: string }[] };
    const refused = await run("distrust", roots?.[0]?.fingerprint ?? "");
    expect(refused.stderr).toContain("the mesh still lists the root");
    expect(refused.status).toBe(2);

    const none = await run("renew");
    expect(none.stderr).toContain("Name some, or write --all");
    expect(none.status).toBe(2);
    const unknown = await run("status", `${name}x`);
    expect(unknown.stderr).toContain(`Did you mean`);
    expect(unknown.status).toBe(2);
    const forbidden = await run("status", "-A");
    expect(forbidden.stderr).toContain("may not list meshcertificates.attache.dev");
    expect(forbidden.status).toBe(1);
  });

  it("tell the whole story of one identity: who uses it and how, and what has happened", async () => {
    const { stage } = await world();
    const { namespace, cluster } = stage;
    const [name = ""] = stage.names;
    const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
    const { kubeconfig } = await cluster.serviceAccount(namespace, "admin", [everything], { in: "*" });
    const inspect = (...more: string[]) =>
      start(["inspect", name, "--kubeconfig", kubeconfig, ...more]).finished;
    await cluster.admin.create(`/apis/getambassador.io/v3alpha1/namespaces/${namespace}/mappings`, {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name: "front" },
      spec: { prefix: "/", hostname: "*", service: "https://upstream", tls: name },
    });
    const secretName = `${name}-mesh-cert`;
    await cluster.admin.create(`/apis/networking.k8s.io/v1/namespaces/${namespace}/ingresses`, {
      metadata: { name: "door" },
      spec: { ingressClassName: "emissary", tls: [{ secretName }], defaultBackend },
    });
    await stage.renew(name, "again");
    const { stdout, stderr } = await vi.waitFor(async () => {
      const shown = await inspect();
      expect(shown.stdout).toMatch(/ Rotated: A new leaf of /);
      return shown;
    }, longWait);
    expect(stderr).toBe("");
    expect(stdout).toContain(`\nMapping ${namespace}/front  protected\n`);
    expect(stdout).toContain(`\nIngress ${namespace}/door  names Secret ${secretName}\n`);
    expect(stdout).not.toContain("NOT SHOWN");
    const { stdout: json } = await inspect("-o", "json");
    expect(JSON.parse(json)).toMatchObject({ users: [{ kind: "Mapping" }, {}] });
    expect(stdout + json).not.toContain("PRIVATE KEY");
  });

  it("select as kubectl does, and read only the namespaces that are named", async () => {
    const { stage, run } = await world();
    const { namespace, other, cluster } = stage;
    const [a = "", b = ""] = stage.names;
    const path = `/apis/attache.dev/v1alpha1/namespaces/${namespace}/meshcertificates/${b}`;
    await cluster.admin.patch(path, { metadata: { labels: { team: "edge" } } });
    await stage.create("elsewhere", {}, other);
    // Nothing is published for it: its status alone names the attaché that serves it.
    await vi.waitFor(async () => {
      const { stdout } = await run("inspect", `${other}/elsewhere`);
      expect(stdout).toMatch(/^attaché {5}/m);
    }, longWait);
    for (const [flags, names] of [
      [["-l", "team=edge"], [b]],
      [
        ["-l", "!team"],
        [a, stage.names[2]],
      ],
      // The user may not list other namespaces.
      [
        [`${namespace}/${b}`, `${other}/elsewhere`, a],
        [b, "elsewhere", a],
      ],
    ] as const) {
      const { stdout, stderr } = await run("status", "-o", "name", ...flags);
      expect(stderr).toBe("");
      expect(stdout).toBe(names.map((name) => `meshcertificate.attache.dev/${name}\n`).join(""));
    }
    const template =
      '{range .items[*]}{.metadata.name}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}';
    const real = await cluster.kubectl("-n", namespace, "get", "meshcert", "-o", `jsonpath=${template}`);
    expect((await run("status", "-o", `jsonpath=${template}`)).stdout).toBe(real);
  });

  it("impersonate with --as, and end a request after --request-timeout", async () => {
    const { stage, run } = await world();
    const { namespace, cluster } = stage;
    const user = `system:serviceaccount:${namespace}:user`;
    const impersonate = { apiGroups: [""], resources: ["serviceaccounts"], verbs: ["impersonate"] };
    const { kubeconfig } = await cluster.serviceAccount(namespace, "helper", [impersonate]);
    const as = (...args: string[]) =>
      start(["status", "-o", "name", "--kubeconfig", kubeconfig, ...args]).finished;
    expect((await as("--as", user)).stdout.split("\n")).toHaveLength(4);
    expect((await as()).stderr).toContain("may not list meshcertificates.attache.dev");
    expect((await run("status", "--as", "jane")).stderr).toContain(
      `${user} may not impersonate another user`,
    );
    const late = await run("status", "--request-timeout", "1ms");
    expect(late.stderr).toContain("in 0.001 s");
    expect(late.status).toBe(1);
  });

  it("say that attaché does not work once its only process was killed", async () => {
    const stage = await Stage.open();
    onTestFinished(() => stage[Symbol.asyncDispose]());
    const installation = `only-in-${stage.namespace}`;
    const attache = await stage.start({ installation, leaseDuration: "5s" });
    await stage.untilReady();
    const reader = [
      { apiGroups: ["attache.dev"], resources: ["meshcertificates"], verbs: ["list"] },
      { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["list"] },
    ];
    const { kubeconfig } = await stage.cluster.serviceAccount(stage.namespace, "reader", reader, { in: "*" });
    const status = () => start(["status", "--kubeconfig", kubeconfig]).finished;
    const before = await status();
    expect(before.stdout).toMatch(/^attaché {5}works: .* leads, and renewed its lease \d s ago$/m);
    expect(before.status).toBe(0);

    attache.signal("SIGKILL");
    const after = await vi.waitFor(async () => {
      const now = await status();
      expect(now.status).toBe(1);
      return now;
    }, longWait);
    expect(after.stdout).toContain("attaché     does not work: ");
    expect(after.stdout).toContain(`kubectl -n ${stage.namespace} get pods`);
  });

  it("go on and print what changes, with --watch", async () => {
    const { stage, kubeconfig } = await world();
    const [name = ""] = stage.names;
    await using watching = start(["status", "--watch", "--kubeconfig", kubeconfig]);
    const serial = async () => (await stage.identity(name)).status as { serialNumber?: string } | undefined;
    const times = () => watching.stdout.split(`${stage.namespace}/${name} `).length - 1;
    await vi.waitFor(() => expect(times()).toBe(1), longWait);
    const first = (await serial())?.serialNumber;
    await stage.renew(name, "again");
    await vi.waitFor(async () => expect((await serial())?.serialNumber).not.toBe(first), longWait);
    await vi.waitFor(() => expect(times()).toBeGreaterThan(1), longWait);
    watching.process.kill("SIGINT");
    expect((await watching.finished).status).toBe(0);
  });

  it("collect a bundle for a report, in which nothing of any Secret is", async () => {
    const { stage } = await world();
    const { namespace, cluster } = stage;
    const canary = "canary-5b1c9a40f2";
    await cluster.admin.create(`/api/v1/namespaces/${namespace}/secrets`, {
      metadata: { name: "canary" },
      stringData: { password: canary },
    });
    const path = `/apis/attache.dev/v1alpha1/namespaces/${namespace}/meshcertificates/${stage.names[0] ?? ""}`;
    await cluster.admin.patch(path, { metadata: { annotations: { "example.org/note": canary } } });
    const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
    const { kubeconfig } = await cluster.serviceAccount(namespace, "admin", [everything], { in: "*" });
    const folder = await mkdtemp(join(tmpdir(), "attache-bundle-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, "out.tar.gz");
    const { stdout, status } = await start(["bundle", "--file", file, "--kubeconfig", kubeconfig]).finished;
    expect(stdout).toContain("no Secret was read");
    expect(status).toBe(0);
    const text = (await promisify(execFile)("tar", ["-xzOf", file], { maxBuffer: 2 ** 26 })).stdout;
    expect(text).toContain(`spiffe://signer.example/${stage.names[0] ?? ""}`);
    expect(text).toContain("holderIdentity");
    const { items } = await cluster.admin.get<{ items: { data?: Record<string, string> }[] }>(
      `/api/v1/namespaces/${namespace}/secrets`,
    );
    const values = items.flatMap(({ data = {} }) => Object.values(data));
    expect(values.length).toBeGreaterThan(6);
    for (const secret of [canary, ...values, ...values.map((one) => Buffer.from(one, "base64").toString())])
      expect(text).not.toContain(secret.trim());
  });

  it("are completed by the real kubectl", async () => {
    const { stage, kubeconfig } = await world();
    const folder = await mkdtemp(join(tmpdir(), "attache-plugin-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await mkdir(join(folder, "links"));
    for (const name of ["kubectl-attache", "kubectl_complete-attache"]) {
      await symlink(main, join(folder, "links", name));
      const script = `#!/bin/sh\nexec ${process.execPath} --conditions=development ${folder}/links/${name} "$@"\n`;
      await writeFile(join(folder, name), script, { mode: 0o755 });
    }
    const kubectl = join(await buildPeer("kubernetes"), "kubectl");
    const env = { PATH: `${folder}:/usr/bin:/bin`, HOME: folder, KUBECONFIG: kubeconfig };
    const completed = async (...words: string[]) =>
      (await promisify(execFile)(kubectl, ["__complete", "attache", ...words], { env })).stdout;
    expect(await completed("stat")).toContain("status\tShow whether attaché works");
    expect((await completed("status", "")).split("\n").slice(0, 3)).toEqual(stage.names);
  });

  it("are a plug-in of kubectl under the name kubectl-attache", async () => {
    const { stage, kubeconfig } = await world();
    const folder = await mkdtemp(join(tmpdir(), "attache-plugin-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const plugin = join(folder, "kubectl-attache");
    await symlink(main, plugin);
    const child = spawn(process.execPath, ["--conditions=development", plugin, "status", "-o", "json"], {
      env: { ...process.env, KUBECONFIG: kubeconfig, NO_COLOR: "1" },
    });
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    await new Promise((closed) => child.on("close", closed));
    const { items } = JSON.parse(stdout) as { items: { metadata: { name: string } }[] };
    expect(items.map(({ metadata }) => metadata.name)).toEqual(stage.names);
  });
});
