import { status } from "@grpc/grpc-js";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { MeshErrorCode } from "../../src/mesh/adapter.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";
import { adapterConformance, type Fault, type Peer, type Subject } from "../../test/conformance/adapter.ts";
import type { IstioIdentity, IstioSettings } from "./definition.ts";
import { type DevelopmentAgent, startDevelopmentAgent } from "./development/index.ts";
import type { Failure, Tamper } from "./development/sds-server.ts";
import { adapter } from "./index.ts";

interface AgentPeer extends Peer {
  readonly agent: DevelopmentAgent;
  tamper: Tamper;
}

async function start(): Promise<AgentPeer> {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const authority = await createAuthority({ trustDomain: "cluster.local", clock: systemClock });
  const agent = await startDevelopmentAgent({
    authority,
    clock: systemClock,
    directory,
    namespace: "emissary",
    serviceAccount: "edge",
    tamper: (answer, name) => peer.tamper(answer, name),
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
    async rotateRoot() {
      await authority.rotateRoot();
    },
    dropOldRoots() {
      for (const { certificate } of authority.roots()) authority.dropRoot(certificate.fingerprint);
      return Promise.resolve();
    },
    stop: () => agent.stop(),
    resume: () => agent.resume(),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
  return peer;
}

const asItIs: Tamper = (answer) => answer;

function failing(when: string, code: MeshErrorCode, failure: Failure): Fault<AgentPeer> {
  return {
    when,
    code,
    inject: ({ agent }) => Promise.resolve(agent.server?.fail(failure)),
    heal: ({ agent }) => Promise.resolve(agent.server?.recover()),
  };
}

const subject = {
  adapter,
  start,
  faults: [
    failing("the agent does not reach its CA", "ATTACHE_MESH_UNAVAILABLE", {
      code: status.UNKNOWN,
      details: "failed to generate secret for default: connection refused",
    }),
    failing("the agent does not know the workload", "ATTACHE_MESH_FORBIDDEN", {
      code: status.PERMISSION_DENIED,
      details: "no identity issued",
    }),
    {
      when: "the agent sends what is no secret",
      code: "ATTACHE_MESH_MALFORMED",
      inject(peer) {
        peer.tamper = (answer) => ({ ...answer, resources: [] });
        return Promise.resolve();
      },
      heal(peer) {
        peer.tamper = asItIs;
        for (const name of ["default", "ROOTCA"]) peer.agent.server?.pushAgain(name);
        return Promise.resolve();
      },
    },
  ],
  refused: [{ what: "the identity of another ServiceAccount", identity: { serviceAccount: "other" } }],
} satisfies Subject<IstioSettings, IstioIdentity, AgentPeer>;

describe("the istio adapter with the development agent", () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
