import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";
import { adapterConformance, type Peer, type Subject } from "../../test/conformance/adapter.ts";
import type { IstioIdentity, IstioSettings } from "./definition.ts";
import { type DevelopmentAgent, startDevelopmentAgent } from "./development/index.ts";
import { adapter } from "./index.ts";

interface AgentPeer extends Peer {
  readonly agent: DevelopmentAgent;
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
  });
  return {
    agent,
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
}

const subject = {
  adapter,
  start,
  refused: [{ what: "the identity of another ServiceAccount", identity: { serviceAccount: "other" } }],
} satisfies Subject<IstioSettings, IstioIdentity, AgentPeer>;

describe("the istio adapter with the development agent", () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
