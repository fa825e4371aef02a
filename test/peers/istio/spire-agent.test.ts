import { afterAll, beforeAll, expect, it } from "vitest";
import type { ConnectionState, Credential } from "../../../src/mesh/adapter.ts";
import { watchOptions } from "../../fixtures/watch-options.ts";
import { activateRoot, prepareRoot } from "../spire/authority.ts";
import { type Spire, startSpire } from "../spire/spire.ts";
import { connect } from "./mesh.ts";

/**
 * Where SPIRE's agent owns the socket, Istio's steps aside: workloads of the mesh then have SPIRE's
 * identities.
 */
let spire: Spire;

beforeAll(async () => {
  spire = await startSpire({ trustDomain: "cluster.local" });
});

afterAll(() => spire[Symbol.asyncDispose]());

const id = "spiffe://cluster.local/ns/emissary/sa/attache";

it("a real SPIRE agent on the socket gives its identity, each new leaf and each root, once it has any", async () => {
  const over = new AbortController();
  const states: boolean[] = [];
  const connection = ({ connected }: ConnectionState) => states.push(connected);
  await using mesh = await connect({ socket: spire.socketPath }, { connection });
  const [failed] = (await mesh.check()).filter(({ status }) => status === "failed");
  expect(failed).toMatchObject({
    name: "secrets",
    message:
      'the agent has no such secret for attaché (INVALID_ARGUMENT): workload is not authorized for the requested identities ["default"]',
    remedy: expect.stringContaining("spire-server entry create") as string,
  });

  const watching = mesh.watch({ serviceAccount: "attache" }, watchOptions(over.signal));
  const credentials = watching[Symbol.asyncIterator]();
  const next = async () => ((await credentials.next()) as { value: Credential }).value;
  const coming = next();
  await expect.poll(() => states).toContain(false);
  const entry = await spire.createEntry({ id });
  const before = await coming;
  expect(before.chain[0].uris).toEqual([id]);
  expect((await mesh.check()).filter(({ status }) => status !== "ok")).toEqual([]);

  await entry.touch();
  const after = await next();
  expect(after.chain[0].fingerprint).not.toBe(before.chain[0].fingerprint);

  await prepareRoot(spire);
  await activateRoot(spire);
  expect((await next()).bundle).toHaveLength(2);
  over.abort();
  await credentials.return?.();
});
