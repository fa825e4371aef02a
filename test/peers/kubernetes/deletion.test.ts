import { expect, it, vi } from "vitest";
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
