import { describe, it } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { adapterConformance, type Peer, type Subject } from "../../../test/conformance/adapter.ts";
import type { ConsulIdentity, ConsulSettings } from "../definition.ts";
import {
  type DevelopmentConsulAgent,
  startDevelopmentAgent,
} from "../../../test/fixtures/consul-agent/agent.ts";
import { controlsOf } from "../../../test/fixtures/peer-controls.ts";
import { adapter } from "../index.ts";

interface AgentPeer extends Peer {
  readonly agent: DevelopmentConsulAgent;
}

const token = "1e7b3c8a-52a6-4f0e-9a3d-6f1c2b4d8e90";

async function start(): Promise<AgentPeer> {
  const authority = await createAuthority({
    trustDomain: "11111111-2222-3333-4444-555555555555.consul",
    clock: systemClock,
  });
  const agent = await startDevelopmentAgent({ authority, clock: systemClock, token, rootChangeJitterMs: 0 });
  // The agent's own timer for the leaf is there before the suite counts what the adapter leaves open.
  await agent.renew("web");
  return {
    agent,
    settings: agent.settings,
    identity: { service: "web" },
    secrets: () => [token],
    rotate: () => agent.renew(),
    ...controlsOf(authority, agent),
    [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
  };
}

/** All that the agent answers becomes an error. */
function answering(status: number, body: string) {
  return ({ agent }: AgentPeer) => {
    agent.tamper(() => ({ status, headers: { "content-type": "text/plain" }, body }));
    return Promise.resolve();
  };
}

function heal({ agent }: AgentPeer): Promise<void> {
  agent.setToken(token);
  agent.tamper(undefined);
  return Promise.resolve();
}

const subject = {
  adapter,
  start,
  faults: [
    {
      when: "the ACL token may not have the service",
      code: "ATTACHE_MESH_FORBIDDEN",
      inject: answering(403, `Permission denied: token lacks permission 'service:write' on "web"`),
      heal,
    },
    {
      when: "the ACL token was deleted",
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      inject({ agent }) {
        agent.setToken("another");
        return Promise.resolve();
      },
      heal,
    },
    {
      when: "requests are limited",
      code: "ATTACHE_MESH_RATE_LIMITED",
      inject: answering(429, "Rate limit reached, try again later"),
      heal,
    },
    {
      when: "there is no leader",
      code: "ATTACHE_MESH_UNAVAILABLE",
      inject: answering(500, "No cluster leader"),
      heal,
    },
    {
      when: "the answer is cut in the middle",
      code: "ATTACHE_MESH_MALFORMED",
      inject({ agent }) {
        agent.tamper((answer) => ({ ...answer, cutAt: 20 }));
        return Promise.resolve();
      },
      heal,
    },
  ],
  refused: [
    { what: "a ServiceAccount", identity: { service: "web", serviceAccount: "web" } },
    { what: "a namespace of Consul's community edition", identity: { service: "web", namespace: "shop" } },
  ],
} satisfies Subject<ConsulSettings, ConsulIdentity, AgentPeer>;

describe("the consul adapter with the development agent", { tags: ["realtime"] }, () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
