import { describe, expect, it } from "vitest";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { contextChecks } from "./contexts.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

async function checksOf(secrets: Readonly<Record<string, readonly [certificate: string, key: string]>>) {
  const cluster = fakeCluster();
  const { admin } = cluster;
  const namespace = await cluster.namespace();
  for (const [name, [certificate, key]] of Object.entries(secrets)) {
    await admin.create(pathOf(resources.secrets, { namespace }), {
      metadata: { name },
      type: "kubernetes.io/tls",
      data: { "tls.crt": base64(certificate), "tls.key": base64(key) },
    });
    await admin.create(pathOf(resources.tlsContexts, { namespace }), {
      metadata: { name },
      spec: { secret: name },
    });
  }
  return { namespace, checks: await contextChecks(cluster.api(), [namespace, undefined]) };
}

describe("the doctor", () => {
  it("names the Secret that stops all configuration: a key that does not match, or does not parse", async () => {
    const root = await createRoot();
    const [leaf, other] = [await createLeaf(root), await createLeaf(root)];
    const { namespace, checks } = await checksOf({
      sound: [leaf.pem, leaf.keyPem],
      torn: [leaf.pem, other.keyPem],
      garbage: [leaf.pem, "garbage"],
    });
    expect(checks.map(({ name, status }) => `${status} ${name}`)).toEqual([
      `failed TLSContext ${namespace}/torn`,
      `failed TLSContext ${namespace}/garbage`,
    ]);
    expect(checks[0]?.message).toContain(`of the Secret ${namespace}/torn: its key does not match`);
    expect(checks[0]?.remedy).toContain("stops all configuration of that Emissary");
    expect(JSON.stringify(checks)).not.toContain("PRIVATE KEY");
  });

  it("finds them well where all are sound", async () => {
    const leaf = await createLeaf(await createRoot());
    const { checks } = await checksOf({ sound: [leaf.pem, leaf.keyPem] });
    expect(checks).toMatchObject([{ status: "ok", message: "1 checked, as far as permissions allow" }]);
  });
});
