import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { noToken } from "../../test/conformance/no-token.ts";
import { cases } from "../../test/fixtures/cases.ts";
import { manualClock } from "../../test/fixtures/clock.ts";
import { createDirectory, written } from "../../test/fixtures/directory.ts";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { createFakeMesh } from "../../test/fixtures/fake-mesh.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { noObserver } from "../../test/fixtures/no-observer.ts";
import { startClusterPeer } from "../../test/peers/kubernetes/store-peer.ts";
import { status as statusSchema } from "../api/status.ts";
import { defaultLimits } from "../credentials/candidate.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { ownershipAnnotations } from "../render/marks.ts";
import { readBack } from "../render/read-back.ts";
import type { Manifest } from "../render/manifest.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Store } from "../store/store.ts";
import { createLogger } from "../telemetry/logger.ts";
import { allowAll } from "./allow.ts";
import { Controller } from "./controller.ts";
import { openMesh } from "./open-mesh.ts";

/** Where an identity is published, with hands on everything that attaché keeps there. */
interface Place extends AsyncDisposable {
  readonly clock: ReturnType<typeof manualClock>;
  /** The names of everything that can be spoilt. */
  names(): Promise<readonly string[]>;
  spoil(name: string, seed: Damage): Promise<void>;
  /** Takes away, or puts back, what no attaché may take for its own any more. */
  mend(): Promise<void>;
  open(): Promise<Store>;
  /** What is published, and the status as it is kept. */
  objects(): Promise<readonly Manifest[]>;
  status(): Promise<unknown>;
}

/** What is written, in the form that the place takes. */
interface Damage {
  readonly which: number;
  readonly bytes: Uint8Array;
  readonly json: unknown;
  readonly share: number;
  readonly kind: "bytes" | "cut" | "json" | "marks" | "gone";
}

const damage: fc.Arbitrary<Damage> = fc.record({
  which: fc.nat(),
  bytes: fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .constantFrom(
        "",
        "null",
        "[]",
        "{",
        "kind: Secret",
        "metadata: 1",
        "a: &a [*a]",
        "\0",
        "A".repeat(3_000_000),
      )
      .map((text) => Buffer.from(text)),
    fc
      .constantFrom("CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY")
      .map((label) => Buffer.from(`-----BEGIN ${label}-----\nMIIB\n-----END ${label}-----\n`)),
  ),
  json: fc.jsonValue(),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: fc.constantFrom("bytes", "cut", "json", "marks", "gone"),
});

describe.each([
  ["a cluster", clusterPlace],
  ["a folder", folderPlace],
])("whatever lies in what is kept in %s", { tags: ["search"] }, (_, createPlace) => {
  it.each(["at the start", "while it runs"])(
    "%s, the mesh is watched, and all converges once it is mended",
    async (when) => {
      await fc.assert(
        fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async (damages) => {
          await using place = await createPlace();
          await using mesh = await meshOf(place.clock);
          await using runs = new AsyncDisposableStack();
          let run = runs.use(await start(place, mesh));
          await eventually(place.clock, () => published(place));

          if (when === "at the start") await run[Symbol.asyncDispose]();
          const names = await place.names();
          for (const one of damages) await place.spoil(names[one.which % names.length] ?? "", one);
          if (when === "at the start") run = runs.use(await start(place, mesh));
          await eventually(place.clock, () => expect(mesh.watching).toBe(1));

          await place.mend();
          const before = mesh.fake.issued;
          await mesh.fake.rotate("storefront");
          expect(mesh.fake.issued).toBe(before + 1);
          await eventually(place.clock, async () => expect(await published(place)).toBe(mesh.newest));
          expect([mesh.watching, run.failure]).toEqual([1, undefined]);
        }),
        { numRuns: cases(3, 60) },
      );
    },
  );
});

/** The serial number of the leaf that is published, whole, with a status that says so. */
async function published(place: Place): Promise<string | undefined> {
  const { credential } = await readBack(identity(), [...(await place.objects())], place.clock.now());
  const status = statusSchema.parse(await place.status());
  expect(status.conditions.find(({ type }) => type === "Ready")).toMatchObject({ status: "True" });
  expect(status.serialNumber).toBe(credential?.chain[0].serialNumber);
  expect(status.serialNumber).toBeDefined();
  return status.serialNumber;
}

/** Waits for `check` to hold, while time passes. */
async function eventually<T>(clock: ReturnType<typeof manualClock>, check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(
    async () => {
      await clock.advance(1_000);
      return check();
    },
    { timeout: 20_000, interval: 25 },
  );
}

async function meshOf(clock: Clock) {
  const fake = await createFakeMesh({ clock, leafLifetimeMs: 30 * 24 * 3600_000 });
  const state = { fake, watching: 0, newest: undefined as string | undefined };
  const logger = createLogger("silent");
  const adapter: typeof fake.adapter = {
    ...fake.adapter,
    async connect(settings, context) {
      const mesh = await fake.adapter.connect(settings, context);
      return {
        async *watch(identity, options) {
          state.watching += 1;
          try {
            for await (const credential of mesh.watch(identity, options)) {
              state.newest = credential.chain[0].serialNumber;
              yield credential;
            }
          } finally {
            state.watching -= 1;
          }
        },
        check: () => mesh.check(),
        [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
      };
    },
  };
  const open = openMesh(
    adapter,
    { name: "consul", clock, logger, env: {} },
    { settings: {}, source: "consul", retainMs: 0, onConnection: () => undefined },
  );
  return Object.assign(state, { open, [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() });
}

async function start(place: Place, { open }: Awaited<ReturnType<typeof meshOf>>) {
  const store = await place.open();
  const controller = new Controller({
    meshes: new Map([["consul", open]]),
    store,
    clock: place.clock,
    logger: createLogger("silent"),
    observer: noObserver,
    serviceAccountToken: noToken,
    allow: allowAll,
    installation: "attache",
    isStoreShared: false,
    rotationWindowMs: 0,
    clockSkewMs: 60_000,
    limits: defaultLimits,
  });
  const stop = new AbortController();
  const run = { failure: undefined as unknown, [Symbol.asyncDispose]: end };
  const done = controller.run(stop.signal).catch((error: unknown) => (run.failure = error));
  async function end() {
    stop.abort();
    await done;
    await store[Symbol.asyncDispose]();
  }
  return run;
}

async function clusterPlace(): Promise<Place> {
  const clock = manualClock();
  const cluster = fakeCluster();
  const peer = await startClusterPeer(cluster);
  const { namespace } = peer;
  const { admin } = cluster;
  await peer.put(`${namespace}/storefront`, { consul: { service: "storefront" } });
  const identityPath = pathOf(resources.meshCertificates, { namespace, name: "storefront" });
  const sound = new Map<string, Manifest>();

  return {
    clock,
    names: async () => {
      for (const object of await peer.objects()) sound.set(object.metadata.name, structuredClone(object));
      return [...sound.keys(), "status"];
    },
    async spoil(name, { kind, bytes, json, share }) {
      if (name === "status") {
        const { body } = await admin.call("GET", identityPath);
        const object = body as { status: Record<string, unknown> };
        const field = Object.keys(object.status)[Math.floor(share * 5)] ?? "conditions";
        // The schema of the CRD lets nothing else than an object pass.
        const status = kind === "gone" ? mapValues(object.status, () => null) : { [field]: json };
        await admin.patch(`${identityPath}/status`, { status });
        return;
      }
      const object = (await peer.objects()).find(({ metadata }) => metadata.name === name);
      if (object === undefined) return;
      if (kind === "gone") return peer.removeObject(object);
      const content = object.kind === "Secret" ? object.data : object.spec;
      const keys = Object.keys(content);
      const key = keys[Math.floor(share * keys.length)] ?? "tls.crt";
      const mark =
        Object.keys(object.metadata.annotations)[Math.floor(share * 4)] ?? ownershipAnnotations.roots;
      const annotations = {
        ...object.metadata.annotations,
        ...(kind === "marks" && { [mark]: JSON.stringify(json) }),
      };
      const text = Buffer.from(bytes).toString("base64");
      const value =
        object.kind === "Secret" ? text : kind === "json" ? json : Buffer.from(bytes).toString("latin1");
      const spoilt = kind === "cut" ? {} : kind === "marks" ? content : { ...content, [key]: value };
      const part = object.kind === "Secret" ? { data: spoilt } : { spec: spoilt };
      await peer.putObject({ ...object, ...part, metadata: { ...object.metadata, annotations } } as Manifest);
    },
    async mend() {
      for (const object of await peer.objects()) {
        const { metadata } = sound.get(object.metadata.name) ?? object;
        await peer.putObject({
          ...object,
          metadata: { ...object.metadata, annotations: metadata.annotations },
        });
      }
    },
    open: () => peer.open({ clock }),
    objects: async () => await peer.objects(),
    status: async () => ((await admin.call("GET", identityPath)).body as { status?: unknown }).status,
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}

function mapValues(object: object, map: () => unknown): object {
  return Object.fromEntries(Object.keys(object).map((key) => [key, map()]));
}

async function folderPlace(): Promise<Place> {
  const clock = manualClock();
  const folder = await createDirectory(clock);
  await folder.write("storefront.yaml", [written("edge/storefront")]);
  const sound = new Map<string, Buffer>();
  const statusFile = join(folder.path, "status/edge/storefront.yaml");

  return {
    clock,
    async names() {
      const entries = await readdir(folder.path, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile() && entry.name !== ".lock");
      for (const { parentPath, name } of files)
        sound.set(join(parentPath, name), await readFile(join(parentPath, name)));
      return [...sound.keys(), join(folder.path, ".tmp", "left")];
    },
    async spoil(path, { kind, bytes, json, share }) {
      if (kind === "gone") return rm(path, { force: true });
      const whole = sound.get(path) ?? Buffer.alloc(0);
      const cut = whole.subarray(0, Math.floor(share * whole.length));
      const swapped = Buffer.concat([cut, bytes, whole.subarray(cut.length + bytes.length)]);
      const content = { bytes, cut, json: JSON.stringify(json), marks: swapped }[kind];
      await writeFile(path, content, { mode: 0o600 });
    },
    async mend() {
      for (const [path, content] of sound)
        await writeFile(path, content, { mode: 0o600 }).catch(() => undefined);
    },
    open: () => folder.open({ pem: true }),
    objects: () => folder.objects(),
    status: async () => (parse(await readFile(statusFile, "utf8")) as { status?: unknown }).status,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
