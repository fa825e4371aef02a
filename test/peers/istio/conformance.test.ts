import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { IstiodSettings, IstioIdentity, IstioSettings } from "../../../adapters/istio/definition.ts";
import { adapter } from "../../../adapters/istio/index.ts";
import { IstiodMesh } from "../../../adapters/istio/istiod/mesh.ts";
import type { Credential } from "../../../src/mesh/adapter.ts";
import { adapterConformance, type Peer, type Subject } from "../../conformance/adapter.ts";
import { createRoot } from "../../fixtures/pki.ts";
import { watchOptions } from "../../fixtures/watch-options.ts";
import { openGate } from "../gate.ts";
import { type Agent, startAgent } from "./agent.ts";
import { type Bearer, mayMint, mayReadRoots, namespace, prepareBearer } from "./bearer.ts";
import { type Istiod, startIstiod } from "./istiod.ts";
import { connect } from "./mesh.ts";
import { createCa } from "./plugged-ca.ts";

let folder: string;
let istiod: Istiod;
let bearer: Bearer;
let agent: Agent;
let starts = 0;

/** One istiod and one agent for all cases; each has a way to them of its own. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-istio-"));
  istiod = await startIstiod();
  bearer = await prepareBearer(istiod.cluster);
  // It renews after two seconds what is good for a minute. EC, because an RSA key may take half a second of
  // that.
  const often = { SECRET_GRACE_PERIOD_RATIO: "0.967", ECC_SIGNATURE_ALGORITHM: "ECDSA" };
  agent = await startAgent(istiod, { namespace, serviceAccount: "attache", secretTtl: "1m", env: often });
});

afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await istiod[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** What the modes have in common: they rotate by themselves, and their roots are istiod's. */
const rotations = {
  secrets: () => bearer.tokens,
  rotate: () => Promise.resolve(),
  async rotateRoot() {
    await istiod.plug(...istiod.cas, await createCa(`number ${istiod.cas.length + 1}`));
    await agent.mountRoots();
  },
  async dropOldRoots() {
    await istiod.plug(...istiod.cas.slice(-1));
    await agent.mountRoots();
  },
};

async function startSds(): Promise<Peer> {
  starts += 1;
  const socket = join(folder, `gate-${starts}.sock`);
  const gate = await openGate(agent.socket, socket);
  return {
    ...rotations,
    settings: { socket },
    identity: { serviceAccount: "attache" },
    namespace,
    stop: () => gate.shut(),
    resume: () => gate.open(),
    [Symbol.asyncDispose]: () => gate[Symbol.asyncDispose](),
  };
}

const refused = [{ what: "the identity of another ServiceAccount", identity: { serviceAccount: "other" } }];

const sds = {
  adapter,
  start: startSds,
  deadlineMs: 45_000,
  faults: [
    {
      when: "istiod does not accept the agent's token",
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      inject: () => agent.mountToken("no token"),
      heal: () => agent.mountToken(),
    },
  ],
  refused,
} satisfies Subject<IstioSettings, IstioIdentity>;

interface FilesPeer extends Peer {
  readonly leadTo: (target: string) => Promise<void>;
}

/** The agent's folder behind a link. */
async function startFiles(): Promise<FilesPeer> {
  starts += 1;
  const directory = join(folder, `certs-${starts}`);
  const away = () => rm(directory, { force: true });
  const leadTo = async (target: string) => {
    await away();
    await symlink(target, directory);
  };
  const resume = () => leadTo(agent.outputCerts);
  await resume();
  return {
    ...rotations,
    leadTo,
    settings: { mode: "files", directory },
    identity: { serviceAccount: "attache" },
    namespace,
    stop: away,
    resume,
    [Symbol.asyncDispose]: away,
  };
}

const files = {
  adapter,
  start: startFiles,
  deadlineMs: 45_000,
  faults: [
    {
      when: "the agent has not written yet",
      code: "ATTACHE_MESH_UNREACHABLE",
      async inject({ leadTo }) {
        const empty = join(folder, "empty");
        await mkdir(empty, { recursive: true });
        await leadTo(empty);
      },
      heal: ({ leadTo }) => leadTo(agent.outputCerts),
    },
    {
      when: "the key is of another certificate",
      code: "ATTACHE_MESH_MALFORMED",
      async inject({ leadTo }) {
        const torn = join(folder, "torn");
        await cp(agent.outputCerts, torn, { recursive: true });
        await writeFile(join(torn, "key.pem"), (await createRoot()).keyPem);
        await leadTo(torn);
      },
      heal: ({ leadTo }) => leadTo(agent.outputCerts),
    },
  ],
  refused,
} satisfies Subject<IstioSettings, IstioIdentity, FilesPeer>;

interface IstiodPeer extends Peer {
  audiences: readonly string[] | undefined;
}

async function startViaIstiod(): Promise<IstiodPeer> {
  const gate = await openGate(istiod.port);
  const peer: IstiodPeer = {
    ...rotations,
    audiences: undefined,
    // The shortest that the settings take; the rest of its life is for clocks that differ.
    settings: { mode: "istiod", address: `127.0.0.1:${gate.port}`, ttl: "1m" },
    identity: { serviceAccount: "edge" },
    namespace,
    cluster: bearer.cluster,
    serviceAccountToken: (request) =>
      bearer.mint({ ...request, ...(peer.audiences && { audiences: peer.audiences }) }),
    stop: () => gate.shut(),
    resume: () => gate.open(),
    [Symbol.asyncDispose]: () => gate[Symbol.asyncDispose](),
  };
  return peer;
}

/**
 * istiod dates a leaf back by two minutes, two thirds of its life: it is renewed two seconds after it came.
 */
const eager: typeof adapter = {
  ...adapter,
  connect: (settings, context) =>
    Promise.resolve(new IstiodMesh(settings as IstiodSettings, context, { from: 0.676, to: 0.678 })),
};

const serviceAccounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;

const viaIstiod = {
  adapter: eager,
  start: startViaIstiod,
  deadlineMs: 45_000,
  faults: [
    {
      when: "the token is for another audience",
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      inject(peer) {
        peer.audiences = ["another"];
        return Promise.resolve();
      },
      heal(peer) {
        peer.audiences = undefined;
        return Promise.resolve();
      },
    },
    {
      when: "attaché may make no token of the ServiceAccount",
      code: "ATTACHE_MESH_TOKEN",
      inject: () => bearer.may(mayReadRoots),
      heal: () => bearer.may(mayReadRoots, mayMint),
    },
    {
      when: "there is no such ServiceAccount",
      code: "ATTACHE_MESH_TOKEN",
      inject: () => istiod.cluster.admin.delete(`${serviceAccounts}/edge`),
      async heal() {
        await istiod.cluster.admin.create(serviceAccounts, { metadata: { name: "edge" } });
      },
    },
    {
      when: "attaché may not read the roots",
      code: "ATTACHE_MESH_CLUSTER",
      inject: () => bearer.may(mayMint),
      heal: () => bearer.may(mayReadRoots, mayMint),
    },
  ],
  refused: [{ what: "an identity without a ServiceAccount", identity: {} }],
} satisfies Subject<IstioSettings, IstioIdentity, IstiodPeer>;

describe("the istio adapter in mode sds with a real agent", () => {
  for (const { name, run } of adapterConformance(sds)) it(name, run);
});

describe("the istio adapter in mode files with a real agent", () => {
  const over = new AbortController();
  let envoy: Promise<void>;

  // A client in Envoy's place: without an SDS client the agent renews nothing.
  beforeAll(async () => {
    const secrets = followSecrets(over.signal);
    await secrets.next();
    envoy = toTheEnd(secrets);
  });

  afterAll(async () => {
    over.abort();
    await envoy;
  });

  for (const { name, run } of adapterConformance(files)) it(name, run);
});

describe("the istio adapter in mode istiod with a real istiod", () => {
  for (const { name, run } of adapterConformance(viaIstiod)) it(name, run);
});

async function* followSecrets(signal: AbortSignal): AsyncGenerator<Credential> {
  await using mesh = await connect({ socket: agent.socket });
  try {
    yield* mesh.watch({}, watchOptions(signal));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function toTheEnd(credentials: AsyncGenerator<Credential>): Promise<void> {
  while ((await credentials.next()).done !== true);
}
