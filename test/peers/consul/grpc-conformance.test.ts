import { afterAll, describe, it } from "vitest";
import type { ConsulIdentity, ConsulSettings } from "../../../adapters/consul/definition.ts";
import { adapter } from "../../../adapters/consul/index.ts";
import { adapterConformance, type Subject } from "../../conformance/adapter.ts";
import { type ConsulPeer, enterpriseIdentity, gaps, startConforming } from "./conforming.ts";
import { rotateRoot } from "./root.ts";

/**
 * After a change of roots a leaf is replaced within a tenth of its life; Consul backdates each by a minute.
 */
const leafLife = "80s";

const consul = await startConforming({
  leafLife,
  // A server signs when it is asked: what makes attaché ask is a new root.
  rotate: (agent) => rotateRoot(agent, leafLife),
  portOf: ({ grpcTlsPort }) => grpcTlsPort,
  settingsOf: (port) => ({ addresses: [`127.0.0.1:${port}`] }),
});

afterAll(() => consul[Symbol.asyncDispose]());

const subject = {
  adapter,
  ...consul,
  gaps,
  refused: [
    {
      what: "a ServiceAccount without a login for it",
      identity: { service: "web", serviceAccount: "web" },
    },
    enterpriseIdentity,
  ],
} satisfies Subject<ConsulSettings, ConsulIdentity, ConsulPeer>;

describe("the consul adapter with a real Consul server over gRPC, ACLs and TLS on", () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
