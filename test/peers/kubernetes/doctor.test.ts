import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Permission, permissions } from "../../../src/kube/permissions.ts";
import { attache } from "../../fixtures/cli.ts";
import { cluster, type Rule } from "./cluster.ts";

const folder = await mkdtemp(join(tmpdir(), "attache-doctor-"));
afterAll(() => rm(folder, { recursive: true }));

function ruleOf({ group, resource, subresource, verbs }: Permission): Rule {
  const name = subresource === undefined ? resource : `${resource}/${subresource}`;
  return { apiGroups: [group], resources: [name], verbs };
}

async function doctor(change: (permission: Permission) => Permission, ...flags: string[]) {
  const { namespace, serviceAccount } = await cluster();
  const own = await namespace();
  const rules = (are: (permission: Permission) => boolean) =>
    permissions.filter(are).map((permission) => ruleOf(change(permission)));
  const { kubeconfig } = await serviceAccount(
    own,
    "attache",
    rules(({ where }) => where !== "consumers"),
    { clusterWide: rules(({ where }) => where === "consumers") },
  );
  const { status, stdout, stderr } = await attache("doctor", "--kubeconfig", kubeconfig, ...flags);
  return { own, status, stdout, stderr };
}

describe("the doctor", () => {
  it("finds a cluster well that grants what the Roles say", async () => {
    const { status, stdout } = await doctor((permission) => permission);
    expect(stdout).toMatch(/^ok +API server https:.* answers, version v1\.36/m);
    expect(stdout).toMatch(/^ok +clocks +agree/m);
    expect(stdout).toMatch(/^ok +CRDs of Emissary +serve getambassador\.io\/v3alpha1/m);
    expect(stdout).toMatch(/^ok +permissions +all \d+ are granted/m);
    expect(stdout).toMatch(/^\? +lease attache-attache +not known whether it works/m);
    // To read the CRD is not among what attaché may; what is served says the same.
    expect(stdout).toMatch(/^ok +CRD of MeshCertificate +serves the fields of this version/m);
    expect(status).toBe(0);
  });

  it("names verb, resource and namespace of what is not granted, and what it is for", async () => {
    const { own, status, stdout } = await doctor((permission) =>
      permission.resource === "secrets" ? { ...permission, verbs: ["get", "list", "watch"] } : permission,
    );
    expect(stdout).toContain(`may not patch secrets in ${own}: with it, attaché publishes leaf and roots`);
    expect(stdout).toContain(`may not create secrets in ${own}`);
    expect(stdout).not.toContain("may not list secrets");
    expect(stdout).toContain("permission: Grant it in a Role");
    expect(status).toBe(1);
  });

  it("knows a CRD of another version", async () => {
    const { admin, namespace, serviceAccount } = await cluster();
    const own = await namespace();
    const rules = [
      { apiGroups: ["apiextensions.k8s.io"], resources: ["customresourcedefinitions"], verbs: ["get"] },
    ];
    const { kubeconfig } = await serviceAccount(own, "reader", rules, { in: "*" });
    const { stdout } = await attache("doctor", "--kubeconfig", kubeconfig, "-o", "json");
    const checks = JSON.parse(stdout) as { name: string; status: string }[];
    expect(checks.find(({ name }) => name === "CRD of MeshCertificate")?.status).toBe("ok");
    expect((await admin.call("GET", "/version")).status).toBe(200);
  });

  it("says that the API server is unreachable, and asks it nothing more", async () => {
    const kubeconfig = join(folder, "away.yaml");
    await writeFile(
      kubeconfig,
      JSON.stringify({
        clusters: [{ name: "away", cluster: { server: "https://127.0.0.1:9" } }],
        users: [{ name: "me", user: { token: "t" } }],
        contexts: [{ name: "away", context: { cluster: "away", user: "me" } }],
        "current-context": "away",
      }),
    );
    const { status, stdout } = await attache("doctor", "--kubeconfig", kubeconfig);
    expect(stdout).toMatch(/^NO +API server https:\/\/127\.0\.0\.1:9/m);
    expect(stdout).not.toContain("permission");
    expect(status).toBe(1);
  });
});
