import { afterAll, describe, it } from "vitest";
import type { ConsulIdentity, ConsulSettings } from "../../../adapters/consul/definition.ts";
import { adapter } from "../../../adapters/consul/index.ts";
import { adapterConformance, type Subject } from "../../conformance/adapter.ts";
import { type ConsulPeer, enterpriseIdentity, gaps, startConforming } from "./conforming.ts";

const consul = await startConforming({
  // Below ten minutes Consul makes a new leaf whenever it is asked: it has no other way to make one on
  // demand.
  leafLife: "5m",
  rotate: () => Promise.resolve(),
  portOf: ({ httpsPort }) => httpsPort,
  settingsOf: (port) => ({ mode: "http", address: `https://127.0.0.1:${port}` }),
});

afterAll(() => consul[Symbol.asyncDispose]());

const subject = {
  adapter,
  ...consul,
  // The pause that the adapter makes when Consul answers at once, again and again, has a cap of half a
  // minute.
  deadlineMs: 45_000,
  gaps,
  refused: [
    { what: "a ServiceAccount", identity: { service: "web", serviceAccount: "web" } },
    enterpriseIdentity,
  ],
} satisfies Subject<ConsulSettings, ConsulIdentity, ConsulPeer>;

describe("the consul adapter with a real Consul, ACLs and TLS on", () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
