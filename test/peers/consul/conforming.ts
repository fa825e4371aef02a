import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Fault, Peer } from "../../conformance/adapter.ts";
import { openGate } from "../gate.ts";
import { createToken } from "./acl.ts";
import { type ConsulAgent, startConsul } from "./agent.ts";
import { rotateRoot } from "./root.ts";
import { serverName, writeTlsFiles } from "./tls-files.ts";

/** A way to a Consul that several cases share, with a service and a token of its own. */
export interface ConsulPeer extends Peer {
  /** Puts another token into the file that the adapter reads. */
  readonly useToken: (secretId: string) => Promise<void>;
  readonly service: string;
  readonly goodToken: string;
}

export interface ConformingOptions {
  readonly leafLife: string;
  /** What the adapter is to reach. */
  readonly portOf: (consul: ConsulAgent) => number;
  /** The settings that lead there. */
  readonly settingsOf: (port: number) => object;
  /** Makes Consul give a new leaf soon. */
  readonly rotate: (consul: ConsulAgent) => Promise<void>;
}

/** One real Consul for all cases of the conformance suite, ACLs and TLS on. */
export async function startConforming({ leafLife, portOf, settingsOf, rotate }: ConformingOptions) {
  const folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
  const { server } = await writeTlsFiles(folder);
  const consul = await startConsul({ folder, acl: true, tls: { ...server, verifyIncoming: false } });
  await rotateRoot(consul, leafLife);
  let starts = 0;

  async function start(): Promise<ConsulPeer> {
    starts += 1;
    const service = `edge-${starts}`;
    const tokenFile = join(folder, `token-${starts}`);
    const goodToken = await createToken(consul, "write", [service]);
    const secrets = new Set<string>();
    const useToken = async (secretId: string) => {
      if (secretId !== "") secrets.add(secretId);
      await writeFile(tokenFile, `${secretId}\n`);
    };
    await useToken(goodToken);
    const gate = await openGate(portOf(consul));
    return {
      service,
      goodToken,
      useToken,
      settings: { ...settingsOf(gate.port), tokenFile, tls: { caFile: server.caFile, serverName } },
      identity: { service },
      secrets: () => [...secrets],
      rotate: () => rotate(consul),
      rotateRoot: () => rotateRoot(consul, leafLife),
      stop: () => gate.shut(),
      resume: () => gate.open(),
      [Symbol.asyncDispose]: () => gate[Symbol.asyncDispose](),
    };
  }

  const heal = ({ goodToken, useToken }: ConsulPeer) => useToken(goodToken);
  const faults: readonly Fault<ConsulPeer>[] = [
    {
      when: "the ACL token may only read the service",
      code: "ATTACHE_MESH_FORBIDDEN",
      inject: async ({ service, useToken }) => useToken(await createToken(consul, "read", [service])),
      heal,
    },
    {
      when: "Consul does not know the ACL token",
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      inject: ({ useToken }) => useToken("0e0a3f62-8d3c-4a54-9a4e-3c1b7f6d2a90"),
      heal,
    },
    {
      when: "the token file is empty",
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      inject: ({ useToken }) => useToken(""),
      heal,
    },
  ];

  return {
    start,
    faults,
    async [Symbol.asyncDispose]() {
      await consul[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

export const gaps = {
  dropOldRoots: "Consul drops a root once an hour at most, and two lives of a leaf after its rotation",
};

/** In either mode. */
export const enterpriseIdentity = {
  what: "a namespace of Consul's community edition",
  identity: { service: "web", namespace: "shop" },
};
