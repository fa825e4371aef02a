import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { privateKeyPem } from "../../src/credentials/keys.ts";
import type { Credential, Mesh, MeshContext, WatchOptions } from "../../src/mesh/adapter.ts";
import { MeshError, systemClock } from "../../src/mesh/adapter.ts";
import { createFakeMesh, type FakeIdentity, type FakeMesh } from "../fixtures/fake-mesh.ts";
import { misbehaviours } from "../fixtures/misbehaviours.ts";
import { adapterConformance, type ConformanceCase, type Peer, type Subject } from "./adapter.ts";
import { watchOptions } from "../fixtures/watch-options.ts";

type FakeAdapter = FakeMesh["adapter"];
type Watch = Mesh<FakeIdentity>["watch"];

const token = "8b2d1fd0-f5c1-4e49-a6b0-5a9a7e4a7c11";
const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((clean) => clean()));

/** The fake, with a part of it replaced by one that breaks the contract. */
interface Defect {
  /** Completes "a suite finds an adapter that …". */
  readonly that: string;
  /** How the name of the case that must find it begins. */
  readonly case: string;
  readonly message: RegExp;
  readonly adapter: (adapter: FakeAdapter, fake: FakeMesh) => FakeAdapter;
}

function withMesh(change: (mesh: Mesh<FakeIdentity>, context: MeshContext) => Partial<Mesh<FakeIdentity>>) {
  return (adapter: FakeAdapter): FakeAdapter => ({
    ...adapter,
    async connect(settings, context) {
      const mesh = await adapter.connect(settings, context);
      return { ...mesh, ...change(mesh, context) };
    },
  });
}

function withCredentials(change: (credential: Credential, earlier: readonly Credential[]) => Credential) {
  return withMesh((mesh) => ({
    async *watch(identity, options) {
      const earlier: Credential[] = [];
      for await (const credential of mesh.watch(identity, options)) {
        yield change(credential, earlier);
        earlier.push(credential);
      }
    },
  }));
}

function withLog(log: (context: MeshContext, credential: Credential) => void) {
  return withMesh((mesh, context) => ({
    async *watch(identity, options) {
      for await (const credential of mesh.watch(identity, options)) {
        log(context, credential);
        yield credential;
      }
    },
  }));
}

/** Reads ahead and forgets nothing. */
async function* withBacklog(source: AsyncIterable<Credential>, { signal }: WatchOptions) {
  const queue: Credential[] = [];
  let end: { readonly error: unknown } | undefined;
  const read = async () => {
    for await (const credential of source) queue.push(credential);
  };
  read().catch((error: unknown) => (end = { error }));
  for (;;) {
    const credential = queue.shift();
    if (credential !== undefined) yield credential;
    else if (end !== undefined) throw end.error;
    else await systemClock.sleep(1, signal);
  }
}

const silent: Watch = () => ({
  [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
});

const present = "yields the present credential first";

const defects: readonly Defect[] = [
  {
    that: "takes settings it does not know",
    case: "takes what its user writes",
    message: /settings with an unknown key/,
    adapter: (adapter) => ({ ...adapter, settings: z.object({}) }),
  },
  {
    that: "yields the key of another leaf",
    case: present,
    message: /the key is that of the leaf/,
    adapter: (adapter, { authority }) => {
      const other = authority.issue({ uri: "spiffe://fake.example/other" });
      return withMesh((mesh) => ({
        async *watch(identity, options) {
          for await (const credential of mesh.watch(identity, options))
            yield { ...credential, key: (await other).key };
        },
      }))(adapter);
    },
  },
  {
    that: "yields a credential without roots",
    case: present,
    message: /the trust bundle is not empty/,
    adapter: withCredentials((credential) => ({ ...credential, bundle: [] })),
  },
  {
    that: "leaves the root in the chain",
    case: present,
    message: /no self-signed root/,
    adapter: withCredentials(({ key, chain, bundle }) => ({ key, chain: [...chain, ...bundle], bundle })),
  },
  {
    that: "yields another identity than the one asked for",
    case: present,
    message: /is one of spiffe:\/\/else.where\/x/,
    adapter: (adapter) => ({ ...adapter, expected: () => "spiffe://else.where/x" }),
  },
  {
    that: "does not report that it is connected",
    case: present,
    message: /without success for the connection/,
    adapter: (adapter) => ({
      ...adapter,
      connect: (settings, context) => adapter.connect(settings, { ...context, connection: () => undefined }),
    }),
  },
  {
    that: "yields one leaf and no more",
    case: "yields each new leaf",
    message: /without success for/,
    adapter: withCredentials((credential, [first = credential]) => first),
  },
  {
    that: "makes a slow consumer read a backlog",
    case: "lets a slow consumer",
    message: /Expected values to be strictly equal/,
    adapter: withMesh((mesh) => ({
      watch: (identity, options) => withBacklog(mesh.watch(identity, options), options),
    })),
  },
  {
    that: "has one watcher at a time",
    case: "keeps several watchers",
    message: /no longer yours|without success/,
    adapter: withMesh((mesh) => {
      let last = new AbortController();
      return {
        watch: (identity, { signal, ...options }) => {
          last.abort(new Error("no longer yours"));
          last = new AbortController();
          return mesh.watch(identity, { ...options, signal: AbortSignal.any([signal, last.signal]) });
        },
      };
    }),
  },
  {
    that: "drops the old root while the mesh lists it",
    case: "trusts the old root",
    message: /the old root stays in the bundle/,
    adapter: withCredentials((credential) => ({ ...credential, bundle: credential.bundle.slice(-1) })),
  },
  {
    that: "keeps a root that the mesh has dropped",
    case: "no longer lists a root",
    message: /without success for only the new root/,
    adapter: withCredentials((credential, earlier) => ({
      ...credential,
      bundle: [...new Set([...earlier.flatMap(({ bundle }) => bundle), ...credential.bundle])],
    })),
  },
  {
    that: "does not hear an abort",
    case: "ends a watch within a second",
    message: /without success/,
    adapter: withMesh((mesh) => ({
      watch: (identity) => mesh.watch(identity, watchOptions(new AbortController().signal)),
    })),
  },
  {
    that: "has a reason of its own for an abort",
    case: "ends a watch within a second",
    message: /the identity was deleted/,
    adapter: withMesh((mesh) => ({
      async *watch(identity, options) {
        try {
          yield* mesh.watch(identity, options);
        } catch (cause) {
          throw new Error("aborted", { cause });
        }
      },
    })),
  },
  {
    that: "outlives its disposal",
    case: "ends all watches when",
    message: /without success/,
    adapter: withMesh(() => ({ [Symbol.asyncDispose]: () => Promise.resolve() })),
  },
  {
    that: "leaves a timer behind",
    case: "leaves no handle open",
    message: /no handle is left open, but there is Timeout/,
    adapter: withMesh(() => {
      const timer = setInterval(() => undefined, 60_000);
      cleanups.push(() => clearInterval(timer));
      return {};
    }),
  },
  {
    that: "waits in silence for a control plane",
    case: "waits for a control plane that comes later",
    message: /without success for a report/,
    adapter: (adapter) => ({
      ...adapter,
      connect: (settings, context) =>
        adapter.connect(settings, {
          ...context,
          connection: (state) => state.connected && context.connection(state),
        }),
    }),
  },
  {
    that: "gives up when the control plane becomes unreachable",
    case: "keeps its watches while",
    message: /a watch ends only by throwing/,
    adapter: (adapter) => ({
      ...adapter,
      async connect(settings, context) {
        const gone = new AbortController();
        const mesh = await adapter.connect(settings, {
          ...context,
          connection(state) {
            context.connection(state);
            if (!state.connected) gone.abort();
          },
        });
        return {
          ...mesh,
          async *watch(identity, { signal, ...options }) {
            try {
              yield* mesh.watch(identity, { ...options, signal: AbortSignal.any([signal, gone.signal]) });
            } catch (error) {
              if (!gone.signal.aborted) throw error;
            }
          },
        };
      },
    }),
  },
  {
    that: "reports an error that is no MeshError",
    case: "waits for a control plane that comes later",
    message: /is a MeshError, and no TypeError/,
    adapter: (adapter) => ({
      ...adapter,
      connect: (settings, context) =>
        adapter.connect(settings, {
          ...context,
          connection(state) {
            context.connection(state);
            context.connection({
              connected: false,
              error: new TypeError("fetch failed") as unknown as MeshError,
            });
            context.connection(state);
          },
        }),
    }),
  },
  {
    that: "throws an error that is no MeshError",
    case: "reports ATTACHE_MESH_FORBIDDEN",
    message: /is a MeshError, and no Error/,
    adapter: withMesh((mesh) => ({
      async *watch(identity, options) {
        try {
          yield* mesh.watch(identity, options);
        } catch {
          throw new Error("403");
        }
      },
    })),
  },
  {
    that: "takes one failure for another",
    case: "reports ATTACHE_MESH_FORBIDDEN",
    message: /ATTACHE_MESH_TIMEOUT/,
    adapter: withMesh((mesh) => ({
      async *watch(identity, options) {
        try {
          yield* mesh.watch(identity, options);
        } catch (cause) {
          throw new MeshError("ATTACHE_MESH_TIMEOUT", "took too long", { cause });
        }
      },
    })),
  },
  {
    that: "thinks about an identity that it can never get",
    case: "refuses the identity of another pod",
    message: /without success/,
    adapter: withMesh((mesh) => ({
      watch: (identity, options) =>
        identity.service === "refused" ? silent(identity, options) : mesh.watch(identity, options),
    })),
  },
  {
    that: "throws in check()",
    case: "reports a remedy",
    message: /connection refused/,
    adapter: withMesh(() => ({ check: () => Promise.reject(new Error("connection refused")) })),
  },
  {
    that: "knows no remedy",
    case: "reports a remedy",
    message: /has a remedy exactly when it is not ok/,
    adapter: withMesh(() => ({
      check: () => Promise.resolve([{ name: "socket", status: "failed", message: "it is not there" }]),
    })),
  },
  {
    that: "sees failures where all is well",
    case: "finds nothing failed",
    message: /deep-equal|strictly/,
    adapter: withMesh(() => ({
      check: () => Promise.resolve([{ name: "socket", status: "failed", message: "no", remedy: "look" }]),
    })),
  },
  {
    that: "logs a private key as PEM",
    case: present,
    message: /private key in PEM/,
    adapter: withLog(({ logger }, { key }) =>
      logger.log("AdapterDebug", { remark: privateKeyPem(key), err: undefined }),
    ),
  },
  {
    that: "logs the number in a private key",
    case: present,
    message: /a private key was put out/,
    adapter: withLog(({ logger }, { key }) => logger.child({ remark: hexOf(key) }).log("MeshConnected")),
  },
  {
    that: "reports the body of a private key in an error",
    case: present,
    message: /a private key was put out/,
    adapter: withLog((context, { key }) => {
      const [, body = ""] = privateKeyPem(key).split("\n");
      context.connection({
        connected: false,
        error: new MeshError("ATTACHE_MESH_MALFORMED", `bad PEM: ${body}`),
      });
    }),
  },
  {
    that: "logs a token",
    case: present,
    message: /a secret of the peer was put out/,
    adapter: withLog(({ logger }) =>
      logger.log("AdapterWarning", { remark: `X-Consul-Token: ${token}`, err: undefined }),
    ),
  },
  {
    that: "logs what a control plane does as an error",
    case: present,
    message: /nothing is logged as an error/,
    adapter: withLog(({ logger }) => logger.log("Bug", { what: "connection refused", err: undefined })),
  },
];

function hexOf(key: Credential["key"]): string {
  return Buffer.from(key.export({ format: "jwk" }).d ?? "", "base64url").toString("hex");
}

type Gaps = NonNullable<Subject<unknown, unknown>["gaps"]>;

function casesFor(
  adapter: FakeAdapter,
  fake: FakeMesh,
  { gaps = {}, mute = false, deadlineMs }: { gaps?: Gaps; mute?: boolean; deadlineMs?: number } = {},
) {
  const start = (): Promise<Peer> =>
    Promise.resolve({
      settings: {},
      identity: { service: "web" },
      secrets: () => [token],
      ...(!mute && { rotate: () => fake.rotate() }),
      rotateRoot: () => fake.rotateRoot(),
      dropOldRoots: () => fake.dropOldRoots(),
      stop: () => fake.stop(),
      resume: () => fake.resume(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  const refused = [{ what: "the identity of another pod", identity: { service: "refused" } }];
  const faults = [
    {
      when: "the token may not have the identity",
      code: "ATTACHE_MESH_FORBIDDEN" as const,
      inject: () => fake.refuse("web", new MeshError("ATTACHE_MESH_FORBIDDEN", "no")),
      heal: () => fake.allow("web"),
    },
  ];
  return adapterConformance({
    adapter,
    start,
    gaps,
    faults,
    refused,
    ...(deadlineMs !== undefined && { deadlineMs }),
  });
}

describe("the conformance suite", { tags: ["thorough"] }, () => {
  it.each(defects)("finds an adapter that $that", async (defect) => {
    const fake = await createFakeMesh();
    // Only a wait without success takes that long; on a busy machine all else may take longer.
    const deadline = defect.message.source.includes("without success") && { deadlineMs: 500 };
    const cases = casesFor(defect.adapter(fake.adapter, fake), fake, { ...deadline });
    await expect(named(defect.case, cases).run()).rejects.toThrow(defect.message);
  });
});

describe("a plug-in that misbehaves", { tags: ["thorough"] }, () => {
  it.each(misbehaviours)("because it $that fails the suite", async ({ watch }) => {
    const fake = await createFakeMesh();
    const bad = withMesh((mesh) => ({
      watch: (identity, options) => watch(() => mesh.watch(identity, options), options),
    }));
    const cases = casesFor(bad(fake.adapter), fake, { deadlineMs: 500 });
    const outcome = named(present, cases)
      .run()
      .then(
        () => "passes",
        () => "fails",
      );
    expect(await outcome).toBe("fails");
  });
});

describe("a peer that has not all controls", () => {
  it("has the cases skipped that need one, for the reason that is given", async () => {
    const fake = await createFakeMesh();
    const cases = casesFor(fake.adapter, fake, { gaps: { rotate: "the agent decides" }, mute: true });
    expect(named("yields each new leaf", cases)).toMatchObject({
      name: "yields each new leaf (skipped: the agent decides)",
      skip: "the agent decides",
    });
    expect(cases.filter(({ skip }) => skip !== undefined).length).toBeLessThan(cases.length / 2);
    await named("lists no gap", cases).run();
  });

  it("fails the suite without a reason", async () => {
    const fake = await createFakeMesh();
    const cases = casesFor(fake.adapter, fake, { mute: true });
    await expect(named("yields each new leaf", cases).run()).rejects.toThrow(
      "the peer has rotate, or the reason",
    );
    await expect(named("lists no gap", cases).run()).rejects.toThrow("rotate");
  });

  it("fails the suite with a reason for a control that it has", async () => {
    const fake = await createFakeMesh();
    const cases = casesFor(fake.adapter, fake, { gaps: { stop: "is too hard" } });
    await expect(named("lists no gap", cases).run()).rejects.toThrow("stop");
  });
});

function named(beginning: string, cases: readonly ConformanceCase[]): ConformanceCase {
  const found = cases.find(({ name }) => name.startsWith(beginning));
  if (found === undefined) throw new Error(`no case "${beginning}"`);
  return found;
}
