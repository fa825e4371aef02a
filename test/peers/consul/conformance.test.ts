import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { ConsulIdentity, ConsulSettings } from "../../../adapters/consul/definition.ts";
import { adapter } from "../../../adapters/consul/index.ts";
import { adapterConformance, type Peer, type Subject } from "../../conformance/adapter.ts";
import { openGate } from "../gate.ts";
import { createToken } from "./acl.ts";
import { type ConsulAgent, startConsul } from "./agent.ts";
import { rotateRoot } from "./root.ts";
import { serverName, type TlsFiles, writeTlsFiles } from "./tls-files.ts";

interface ConsulPeer extends Peer {
  /** Puts another token into the file that the adapter reads. */
  readonly useToken: (secretId: string) => Promise<void>;
  readonly service: string;
  readonly goodToken: string;
}

let folder: string;
let consul: ConsulAgent;
let files: TlsFiles;
let starts = 0;

/** Below ten minutes Consul makes a new leaf whenever it is asked: it has no other way to make one on demand. */
const leafLife = "5m";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
  const { server } = await writeTlsFiles(folder);
  files = server;
  consul = await startConsul({ folder, acl: true, tls: { ...server, verifyIncoming: false } });
  await rotateRoot(consul, leafLife);
});

afterAll(async () => {
  await consul[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** One Consul for all cases; each has a service, a token and a way to Consul of its own. */
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
  const gate = await openGate(consul.httpsPort);
  return {
    service,
    goodToken,
    useToken,
    settings: {
      mode: "http",
      address: `https://127.0.0.1:${gate.port}`,
      tokenFile,
      tls: { caFile: files.caFile, serverName },
    },
    identity: { service },
    secrets: () => [...secrets],
    // See {@link leafLife}: it rotates by itself.
    rotate: () => Promise.resolve(),
    rotateRoot: () => rotateRoot(consul, leafLife),
    stop: () => gate.shut(),
    resume: () => gate.open(),
    [Symbol.asyncDispose]: () => gate[Symbol.asyncDispose](),
  };
}

const subject = {
  adapter,
  start,
  // The pause that the adapter makes when Consul answers at once, again and again, has a cap of half a minute.
  deadlineMs: 45_000,
  gaps: {
    dropOldRoots: "Consul drops a root once an hour at most, and two lives of a leaf after its rotation",
  },
  faults: [
    {
      when: "the ACL token may only read the service",
      code: "ATTACHE_MESH_FORBIDDEN",
      inject: async ({ service, useToken }) => useToken(await createToken(consul, "read", [service])),
      heal: ({ goodToken, useToken }) => useToken(goodToken),
    },
    {
      when: "Consul does not know the ACL token",
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      inject: ({ useToken }) => useToken("0e0a3f62-8d3c-4a54-9a4e-3c1b7f6d2a90"),
      heal: ({ goodToken, useToken }) => useToken(goodToken),
    },
    {
      when: "the token file is empty",
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      inject: ({ useToken }) => useToken(""),
      heal: ({ goodToken, useToken }) => useToken(goodToken),
    },
  ],
  refused: [
    { what: "a ServiceAccount", identity: { service: "web", serviceAccount: "web" } },
    { what: "a namespace of Consul's community edition", identity: { service: "web", namespace: "shop" } },
  ],
} satisfies Subject<ConsulSettings, ConsulIdentity, ConsulPeer>;

describe("the consul adapter with a real Consul, ACLs and TLS on", () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
