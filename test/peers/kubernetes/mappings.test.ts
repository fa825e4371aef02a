import { describe, expect, it } from "vitest";
import { createLeaf, createRoot } from "../../fixtures/pki.ts";
import { attache } from "../../fixtures/cli.ts";
import { cluster } from "./cluster.ts";

const emissary = "/apis/getambassador.io/v3alpha1/namespaces";
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("status --mappings", () => {
  it("tells who is exposed and why, from the cluster as it is", async () => {
    const { admin, namespace, serviceAccount } = await cluster();
    const own = await namespace();
    const create = async (path: string, kind: string, apiVersion: string, name: string, rest: object) => {
      const { status } = await admin.call("POST", path, { apiVersion, kind, metadata: { name }, ...rest });
      expect(status).toBe(201);
    };
    const context = (name: string, spec: object) =>
      create(`${emissary}/${own}/tlscontexts`, "TLSContext", "getambassador.io/v3alpha1", name, { spec });
    const mapping = (name: string, spec: object) =>
      create(`${emissary}/${own}/mappings`, "Mapping", "getambassador.io/v3alpha1", name, { spec });
    const secret = (name: string, data: object) =>
      create(`/api/v1/namespaces/${own}/secrets`, "Secret", "v1", name, { data });

    const root = await createRoot();
    const [leaf, other] = [await createLeaf(root), await createLeaf(root)];
    await secret("sound", { "tls.crt": base64(leaf.pem), "tls.key": base64(leaf.keyPem) });
    await secret("torn", { "tls.crt": base64(leaf.pem), "tls.key": base64(other.keyPem) });
    await secret("ca", { "tls.crt": base64(root.pem) });
    await context(`${own}-sound`, { secret: "sound", ca_secret: "ca" });
    await context(`${own}-open`, { secret: "sound" });
    await context(`${own}-torn`, { secret: "torn", ca_secret: "ca" });
    await context(`${own}-gone`, { secret: "gone", ca_secret: "ca" });
    for (const [name, tls, service] of [
      ["protected", `${own}-sound`, "https://web"],
      ["open", `${own}-open`, "https://web"],
      ["torn", `${own}-torn`, "https://web"],
      ["gone", `${own}-gone`, "web"],
      ["nowhere", "nowhere", "web"],
    ] as const) {
      await mapping(name, { prefix: `/${name}/`, service, tls });
    }
    await mapping("plain", { prefix: "/plain/", service: "web" });

    const rules = [
      { apiGroups: ["getambassador.io"], resources: ["*"], verbs: ["list"] },
      { apiGroups: [""], resources: ["secrets"], verbs: ["get"] },
    ];
    const { kubeconfig } = await serviceAccount(own, "reader", rules, { in: "*" });
    const { status, stdout, stderr } = await attache("status", "--mappings", "--kubeconfig", kubeconfig);
    expect(stderr).toBe("");
    const state = (name: string) =>
      new RegExp(`Mapping ${own}/${name} +\\S+ +(\\S+ +\\S+)`).exec(stdout)?.[1];
    expect(state("protected")).toMatch(/^protected +-/);
    expect(state("open")).toMatch(/^UNVERIFIED +UpstreamNotVerified/);
    expect(state("torn")).toMatch(/^ANONYMOUS +ContextUnsound/);
    expect(state("gone")).toMatch(/^PLAINTEXT +ContextUnsound/);
    expect(state("nowhere")).toMatch(/^PLAINTEXT +ContextMissing/);
    expect(state("plain")).toBeUndefined();
    expect(stdout).toContain("its key does not match its certificate");
    expect(stdout).toContain(`the Secret ${own}/gone does not exist`);
    expect(stdout).not.toContain("PRIVATE KEY");
    expect(status).toBe(1);
  });
});
