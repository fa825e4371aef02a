import { expect, it, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { longWait, Stage } from "./stage.ts";

const emissary = { apiVersion: "getambassador.io/v3alpha1", kind: "TLSContext" };

it("reports names that another namespace takes, whichever was first, and that they are free again", async () => {
  await using stage = await Stage.open();
  const { namespace, other, cluster } = stage;
  const [named = "", used = "", imitated = ""] = stage.names;
  const contexts = (name?: string) => pathOf(resources.tlsContexts, { namespace: other, name });
  const create = (name: string, spec: object) =>
    cluster.admin.create(contexts(), { ...emissary, metadata: { name }, spec });
  // One is there before attaché publishes anything.
  await create("reaching", { secret: `${used}-mesh-cert.${namespace}` });
  await stage.start();
  await stage.until("Ready", "True/Valid", used);
  const reached = await stage.until("Protected", "False/SecretNamedFromOutside", used);
  expect(reached).toContain(`${other}/reaching`);
  expect(reached).toContain(`${namespace}/${used}-mesh-cert`);
  await stage.untilReady();

  await create(named, {});
  const taken = await stage.until("Protected", "False/ContextNameTaken", named);
  expect(taken).toContain(`${other}/${named}`);
  expect(taken).toContain(`${namespace}/${named}`);
  await create("imitating", { ca_secret: `${imitated}-mesh-ca.${namespace}`, secret_namespacing: false });
  const message = await stage.until("Protected", "False/SecretNameTaken", imitated);
  expect(message).toContain(`${other}/imitating`);
  expect(message).toContain(`${namespace}/${imitated}-mesh-ca`);
  await vi.waitFor(async () => {
    const events = (await stage.events()).map(
      ({ object }) => `${String(object["reason"])} ${String(object["type"])}`,
    );
    for (const reason of ["ContextNameTaken", "SecretNameTaken", "SecretNamedFromOutside"])
      expect(events).toContain(`${reason} Warning`);
  }, longWait);

  // Each is free once the other one no longer names it, or is gone.
  await cluster.admin.patch(contexts("imitating"), { spec: { ca_secret: "own" } });
  for (const name of ["reaching", named]) await cluster.admin.delete(contexts(name));
  await vi.waitFor(async () => {
    for (const name of stage.names) {
      const { status } = await stage.identity(name);
      expect(status?.conditions.some(({ type }) => type === "Protected")).toBe(false);
    }
  }, longWait);
});
