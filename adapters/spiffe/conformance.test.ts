import { status } from "@grpc/grpc-js";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import type { MeshErrorCode } from "../../src/mesh/adapter.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";
import { adapterConformance, type Fault, type Peer, type Subject } from "../../test/conformance/adapter.ts";
import type { SpiffeIdentity, SpiffeSettings } from "./definition.ts";
import { type DevelopmentSpireAgent, startDevelopmentAgent } from "../../test/fixtures/spire-agent/agent.ts";
import type { CallFailure, WorkloadTamper } from "../../test/fixtures/spire-agent/workload-server.ts";
import { controlsOf } from "../../test/fixtures/peer-controls.ts";
import { adapter } from "./index.ts";

interface AgentPeer extends Peer {
  readonly agent: DevelopmentSpireAgent;
  tamper: WorkloadTamper;
}

const entries = [{ id: "spiffe://example.org/edge" }, { id: "spiffe://example.org/other" }] as const;

async function start(): Promise<AgentPeer> {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const authority = await createAuthority({ trustDomain: "example.org", clock: systemClock });
  const agent = await startDevelopmentAgent({
    authority,
    clock: systemClock,
    directory,
    entries,
    tamper: (answer) => peer.tamper(answer),
  });
  const peer: AgentPeer = {
    agent,
    tamper: asItIs,
    settings: agent.settings,
    identity: agent.identity,
    secrets: () => [],
    rotate() {
      agent.renew();
      return Promise.resolve();
    },
    ...controlsOf(authority, agent),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
  return peer;
}

const asItIs: WorkloadTamper = (answer) => answer;

function failing(when: string, code: MeshErrorCode, failure: CallFailure): Fault<AgentPeer> {
  return {
    when,
    code,
    inject: ({ agent }) => Promise.resolve(agent.server?.fail(failure)),
    heal: ({ agent }) => Promise.resolve(agent.server?.recover()),
  };
}

function sending(when: string, tamper: WorkloadTamper): Fault<AgentPeer> {
  return {
    when,
    code: "ATTACHE_MESH_MALFORMED",
    inject(peer) {
      peer.tamper = tamper;
      return Promise.resolve();
    },
    heal(peer) {
      peer.tamper = asItIs;
      peer.agent.server?.pushAgain();
      return Promise.resolve();
    },
  };
}

const subject = {
  adapter,
  start,
  faults: [
    {
      when: "no entry gives attaché an identity",
      code: "ATTACHE_MESH_FORBIDDEN",
      inject: ({ agent }) => agent.setEntries([]),
      heal: ({ agent }) => agent.setEntries(entries),
    },
    {
      when: "the entry for the identity is missing",
      code: "ATTACHE_MESH_FORBIDDEN",
      inject: ({ agent }) => agent.setEntries([entries[1]]),
      heal: ({ agent }) => agent.setEntries(entries),
    },
    failing("the agent does not serve", "ATTACHE_MESH_UNAVAILABLE", {
      code: status.UNAVAILABLE,
      details: "could not serialize response: no bundle",
    }),
    sending("the agent sends no message of the Workload API", () => Buffer.from("<html>")),
    sending("the agent sends an SVID that is none", ({ svids, ...rest }) => ({
      ...rest,
      svids: svids.map((svid) => ({ ...svid, x509Svid: Buffer.from("garbage") })),
    })),
  ],
} satisfies Subject<SpiffeSettings, SpiffeIdentity, AgentPeer>;

describe("the spiffe adapter with the development agent", { tags: ["realtime"] }, () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
