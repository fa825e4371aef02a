import { expect, it, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { longWait, Stage } from "./stage.ts";

it("an identity is kept, and renewed, when it is deleted, and goes with its last use", async () => {
  await using stage = await Stage.open();
  const { namespace, cluster } = stage;
  const { admin, kubectl } = cluster;
  const [name = "", unused = ""] = stage.names;
  const mapping = `/apis/getambassador.io/v3alpha1/namespaces/${stage.other}/mappings`;
  await stage.start();
  await stage.untilReady();

  const begin = ["-n", namespace, "--cascade=foreground", "--wait=false"];
  await kubectl("delete", "meshcertificate", name, unused, ...begin);
  // Nothing uses it. For a minute, that may change.
  await stage.until("Terminating", "Unknown/Waiting", name);
  await admin.create(mapping, {
    apiVersion: "getambassador.io/v3alpha1",
    kind: "Mapping",
    metadata: { name: "shop" },
    spec: { prefix: "/shop/", service: "shop", tls: name },
  });
  expect(await stage.until("Terminating", "True/InUse", name)).toContain(`Mapping ${stage.other}/shop`);
  await kubectl("wait", "meshcertificate", unused, "-n", namespace, "--for=delete", "--timeout=120s");
  await stage.renew(name, "while it is kept");
  const renewed = async () =>
    expect((await stage.identity(name)).status?.lastRenewRequest).toBe("while it is kept");
  await vi.waitFor(renewed, longWait);

  await admin.delete(`${mapping}/shop`);
  await kubectl("wait", "meshcertificate", name, "-n", namespace, "--for=delete", "--timeout=60s");
  const left = await stage.objects([namespace]);
  expect(left.filter(({ path }) => path.includes(name))).toEqual([]);
  expect(left).toHaveLength(4);
});

it("an identity that is deleted and created again at once is published again each time, and owns it", async () => {
  await using stage = await Stage.open();
  const { namespace, cluster } = stage;
  const { admin } = cluster;
  const [name = ""] = stage.names;
  const path = pathOf(resources.meshCertificates, { namespace, name });
  // A minute in which the former one may get a user is for the test above.
  await stage.startWith({ ...stage.settings(), limits: { deletionGrace: "0s" } });
  await stage.untilReady();
  for (let turn = 0; turn < 5; turn += 1) {
    await admin.delete(path);
    // Until it is withdrawn, the API server has the former one.
    const created = await vi.waitFor(() => stage.create(name), longWait);
    await stage.untilReady([name]);
    const published = (await stage.objects([namespace])).filter(
      ({ path: one }) => one.includes(name) && one !== path,
    );
    expect(published).toHaveLength(3);
    for (const { object } of published)
      expect(object.metadata["annotations"]).toMatchObject({ "attache.dev/identity": created.metadata.uid });
  }
});
