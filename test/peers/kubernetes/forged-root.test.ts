import { expect, it, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { createRoot } from "../../fixtures/pki.ts";
import { startAttacheProcess } from "./attache-process.ts";
import { longWait, Stage } from "./stage.ts";

const record = "attache.dev/roots";

it("a root that another client plants in a CA Secret while attaché does not run is reported, and ends", async () => {
  await using stage = await Stage.open();
  const { namespace, cluster } = stage;
  const [name = "", ...others] = stage.names;
  const settings = {
    ...stage.settings(),
    meshes: { signer: { adapter: "attache-signer", url: stage.signer.url, trust: { retain: "5s" } } },
  };
  {
    await using _attache = await startAttacheProcess(settings);
    await stage.untilReady();
  }
  const path = pathOf(resources.secrets, { namespace, name: `${name}-mesh-ca` });
  const secret = () =>
    cluster.admin.get<{ metadata: { annotations: Record<string, string> }; data: { "tls.crt": string } }>(
      path,
    );
  const honest = await secret();
  const { certificate: evil } = await createRoot({ notAfter: new Date("2099-01-01T00:00:00Z") });
  const pem = Buffer.from(honest.data["tls.crt"], "base64").toString() + evil.toPem();
  const planted = [
    ...(JSON.parse(honest.metadata.annotations[record] ?? "[]") as unknown[]),
    { fingerprint: evil.fingerprint, retireAt: "2098-12-31T00:00:00.000Z" },
  ];
  await cluster.admin.patch(path, {
    metadata: { annotations: { [record]: JSON.stringify(planted) } },
    data: { "tls.crt": Buffer.from(pem).toString("base64") },
  });

  await using attache = await startAttacheProcess(settings);
  await vi.waitFor(async () => {
    expect(await attache.metric("attache_unknown_roots_total")).toBe(1);
    const events = (await stage.events()).filter(({ object }) => object["reason"] === "RootUnknown");
    expect(
      events.map(({ object }) => [object["type"], (object["regarding"] as { name: string }).name]),
    ).toEqual([["Warning", name]]);
    expect(events[0]?.object["note"]).toContain(evil.fingerprint.slice(0, 16));
  }, longWait);
  // The record says 2098; the settings allow five seconds.
  await vi.waitFor(async () => {
    const { data, metadata } = await secret();
    expect(data).toEqual(honest.data);
    expect(metadata.annotations[record]).toBe(honest.metadata.annotations[record]);
  }, longWait);
  await stage.untilReady([name, ...others]);
  expect(await attache.metric("attache_unknown_roots_total")).toBe(1);
});
