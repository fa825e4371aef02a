import { status } from "@grpc/grpc-js";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import type { MeshErrorCode } from "../../src/mesh/adapter.ts";
import { createAuthority } from "../../src/mesh/development/authority.ts";
import { adapterConformance, type Fault, type Peer, type Subject } from "../../test/conformance/adapter.ts";
import type { IstioIdentity, IstioSettings } from "./definition.ts";
import { type DevelopmentIstioAgent, startDevelopmentAgent } from "./development/index.ts";
import type { StreamFailure, SdsTamper } from "./development/sds-server.ts";
import { controlsOf } from "../../test/fixtures/peer-controls.ts";
import { adapter } from "./index.ts";

interface AgentPeer extends Peer {
  readonly agent: DevelopmentIstioAgent;
  /** Where the agent writes its files. */
  readonly folder: string;
  tamper: SdsTamper;
}

async function startAgent(): Promise<AgentPeer> {
  const directory = await mkdtemp(join(tmpdir(), "attache-"));
  const folder = join(directory, "certs");
  await mkdir(folder);
  const authority = await createAuthority({ trustDomain: "cluster.local", clock: systemClock });
  const agent = await startDevelopmentAgent({
    authority,
    clock: systemClock,
    directory,
    namespace: "emissary",
    serviceAccount: "edge",
    outputCerts: folder,
    tamper: (answer, name) => peer.tamper(answer, name),
  });
  const peer: AgentPeer = {
    agent,
    folder,
    tamper: asItIs,
    settings: agent.settings,
    identity: agent.identity,
    namespace: "emissary",
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

const asItIs: SdsTamper = (answer) => answer;

function failing(when: string, code: MeshErrorCode, failure: StreamFailure): Fault<AgentPeer> {
  return {
    when,
    code,
    inject: ({ agent }) => Promise.resolve(agent.server?.fail(failure)),
    heal: ({ agent }) => Promise.resolve(agent.server?.recover()),
  };
}

const sds = {
  adapter,
  start: startAgent,
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

/** The same agent, of which only the files are seen: it is away when they are. */
async function startFiles(): Promise<AgentPeer> {
  const peer = await startAgent();
  const away = `${peer.folder}.away`;
  return {
    ...peer,
    settings: { mode: "files", directory: peer.folder },
    stop: () => rename(peer.folder, away),
    resume: () => rename(away, peer.folder),
  };
}

const files = {
  adapter,
  start: startFiles,
  faults: [
    {
      when: "a file is garbage",
      code: "ATTACHE_MESH_MALFORMED",
      async inject({ folder }) {
        await rename(join(folder, "root-cert.pem"), join(folder, "good"));
        await writeFile(join(folder, "root-cert.pem"), "<html>");
      },
      heal: ({ folder }) => rename(join(folder, "good"), join(folder, "root-cert.pem")),
    },
    {
      when: "a file is missing",
      code: "ATTACHE_MESH_UNREACHABLE",
      inject: ({ folder }) => rename(join(folder, "key.pem"), join(folder, "good")),
      heal: ({ folder }) => rename(join(folder, "good"), join(folder, "key.pem")),
    },
  ],
  refused: sds.refused,
} satisfies Subject<IstioSettings, IstioIdentity, AgentPeer>;

describe.each([
  ["sds", sds],
  ["files", files],
])("the istio adapter in mode %s with the development agent", { tags: ["realtime"] }, (_, subject) => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
