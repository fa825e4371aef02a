import type { Clock } from "../runtime/clock.ts";
import { createAuthority, type Authority } from "../mesh/development/authority.ts";
import { development } from "../registry/registry.ts";

/** A mesh of the demo: a control plane with a real authority, whose certificates live for two minutes. */
export interface DevelopmentMesh {
  /** Of the adapter and of the mesh: `consul`, `istio`. */
  readonly name: string;
  readonly authority: Authority;
  /** The settings of the mesh besides `adapter:`. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Its identities: the source in the spec, and the resulting SPIFFE ID. */
  readonly workloads: readonly DemoWorkload[];
  /** Ends the server and all its connections, and starts it again at the same address seconds later. */
  kill(signal: AbortSignal): Promise<void>;
}

export interface DemoWorkload {
  readonly name: string;
  readonly source: Readonly<Record<string, string>>;
  readonly uri: string;
}

/** A leaf is renewed at nine tenths at the latest: a busy machine has 12 s to publish and load the next. */
const leafLifetimeMs = 120_000;
const rootEveryMs = 60_000;

/** So long a server that was killed stays away: as long as the reader needs to see it. */
const awayMs = 3_000;

/** A new root replaces all leaves within a tenth of their life; the rest is margin for a busy machine. */
const dropAfterMs = 50_000;

interface DevelopmentMeshes extends AsyncDisposable {
  readonly all: readonly DevelopmentMesh[];
  /** New roots since the start. */
  readonly rootRotations: number;
  /** Lets the roots rotate from now on; does nothing if they do. */
  startRotating(): void;
}

export async function startDevelopmentMeshes(options: {
  readonly clock: Clock;
  /** The folder for sockets. Keep it short: the path of a Unix socket has at most about 100 bytes. */
  readonly directory: string;
  /** Called after each change of roots, before any client can have seen a leaf of the new one. */
  readonly onRoots: (mesh: DevelopmentMesh) => void;
}): Promise<DevelopmentMeshes> {
  const { clock, directory, onRoots } = options;
  await using stack = new AsyncDisposableStack();
  const authorityOf = (trustDomain: string) => createAuthority({ trustDomain, clock, leafLifetimeMs });
  const [consul, istio] = [await development.consul(), await development.istio()];

  const consulAuthority = await authorityOf("11111111-2222-3333-4444-555555555555.consul");
  const server = stack.use(await consul.startDevelopmentServer({ authority: consulAuthority }));
  const istioAuthority = await authorityOf("cluster.local");
  const sidecar = stack.use(
    await istio.startDevelopmentAgent({
      authority: istioAuthority,
      clock,
      directory,
      namespace: "emissary",
      serviceAccount: "edge",
    }),
  );

  const all: readonly DevelopmentMesh[] = [
    {
      name: "consul",
      authority: consulAuthority,
      settings: server.settings,
      workloads: ["storefront", "billing"].map((service) => ({
        name: service,
        source: { service },
        uri: `spiffe://${consulAuthority.trustDomain}/ns/default/dc/dc1/svc/${service}`,
      })),
      kill: (signal) => restart(server, clock, signal),
    },
    {
      name: "istio",
      authority: istioAuthority,
      settings: sidecar.settings,
      workloads: [
        {
          name: "edge",
          source: { serviceAccount: "edge" },
          uri: `spiffe://${istioAuthority.trustDomain}/ns/emissary/sa/edge`,
        },
      ],
      kill: (signal) => restart(sidecar, clock, signal),
    },
  ];

  const over = new AbortController();
  let rootRotations = 0;
  let rotating: readonly Promise<void>[] | undefined;
  const unsubscribes = all.map((mesh) => mesh.authority.subscribe(() => onRoots(mesh)));
  stack.defer(async () => {
    over.abort();
    for (const unsubscribe of unsubscribes) unsubscribe();
    await Promise.all(rotating ?? []);
  });
  const owned = stack.move();
  return {
    all,
    get rootRotations() {
      return rootRotations;
    },
    startRotating() {
      rotating ??= all.map(({ authority }) =>
        rotateRoots(authority, clock, over.signal, () => {
          rootRotations += 1;
        }),
      );
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function rotateRoots(
  authority: Authority,
  clock: Clock,
  signal: AbortSignal,
  onRotation: () => void,
): Promise<void> {
  try {
    for (;;) {
      await clock.sleep(rootEveryMs - dropAfterMs, signal);
      const old = authority.roots().map(({ certificate }) => certificate.fingerprint);
      await authority.rotateRoot();
      onRotation();
      await clock.sleep(dropAfterMs, signal);
      for (const fingerprint of old) authority.dropRoot(fingerprint);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function restart(
  server: { stop(): Promise<void>; resume(): Promise<void> },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await server.stop();
  await clock.sleep(awayMs, signal).catch(() => undefined);
  await server.resume();
}
