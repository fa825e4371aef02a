import { readFile } from "node:fs/promises";
import { stringify } from "yaml";
import { type IdentityKey, keyOf, type MeshIdentity, type Status } from "../api/mesh-identity.ts";
import { parseMeshIdentities } from "../api/parse.ts";
import { startAttache } from "../attache.ts";
import { systemClock } from "../clock.ts";
import type { Manifest } from "../render/manifest.ts";
import { uidOf } from "../stores/directory/identities.ts";
import { viewDirectory } from "../stores/directory/view.ts";
import type { Store } from "../stores/store.ts";
import { createLogger } from "../telemetry/logger.ts";
import { UsageError } from "./errors.ts";
import { RenderError } from "./render-error.ts";
import type { RenderOptions } from "./program.ts";
import { durationOf, settingsOf } from "./settings.ts";
import { untilSignalled } from "./signals.ts";

/** Fetches every credential once, as `run` would, and prints the manifests when all are there, or says why not. */
export async function renderOnce(files: readonly string[], options: RenderOptions): Promise<void> {
  const timeout = AbortSignal.timeout(durationOf(options.timeout));
  const noServer = { path: ["server", "enabled"], text: "false", place: "render" };
  const loaded = await settingsOf(options, [noServer]);
  const identities =
    files.length > 0
      ? (await Promise.all(files.map(async (file) => parseMeshIdentities(await read(file), file)))).flat()
      : (await viewDirectory(loaded.settings.store.directory)).map(({ identity }) => identity);
  if (identities.length === 0) throw new UsageError("there is no MeshIdentity to render");
  const once = collect(identities);
  const logger = createLogger("error");
  await using attache = await startAttache({
    loaded,
    logger,
    clock: systemClock,
    env: process.env,
    store: once.store,
  });
  await Promise.race([once.complete, attache.done, aborted(AbortSignal.any([timeout, untilSignalled()]))]);
  const missing = identities.filter((identity) => !once.targets.has(keyOf(identity)));
  if (missing.length > 0) throw new RenderError(missing.map((identity) => whyNot(identity, once.statuses)));
  const manifests = identities.flatMap((identity) => once.targets.get(keyOf(identity)) ?? []);
  process.stdout.write(manifests.map((manifest) => stringify(manifest, { lineWidth: 0 })).join("---\n"));
}

/** A store that holds nothing and takes everything once. */
function collect(identities: readonly MeshIdentity[]) {
  const targets = new Map<IdentityKey, readonly Manifest[]>();
  const statuses = new Map<IdentityKey, Status>();
  const complete = Promise.withResolvers<undefined>();
  const store: Store = {
    async *watch(signal) {
      yield* identities.map((identity) => ({ type: "identity", identity: withUid(identity) }) as const);
      yield { type: "synced" };
      await aborted(signal);
    },
    read: () => Promise.resolve([]),
    apply(identity, manifests) {
      targets.set(keyOf(identity), manifests);
      if (targets.size === identities.length) complete.resolve(undefined);
      return Promise.resolve({ writes: manifests.length });
    },
    withdraw: () => Promise.resolve(),
    usesOf: () => [],
    report(identity, status) {
      statuses.set(keyOf(identity), status);
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return { store, targets, statuses, complete: complete.promise };
}

/** The mark on the manifests is that of `run`, which so knows them as its own. */
function withUid(identity: MeshIdentity): MeshIdentity {
  const { uid = uidOf(keyOf(identity)) } = identity.metadata;
  return { ...identity, metadata: { ...identity.metadata, uid } };
}

function whyNot(identity: MeshIdentity, statuses: ReadonlyMap<IdentityKey, Status>): string {
  const source = statuses.get(keyOf(identity))?.conditions.find(({ type }) => type === "SourceReady");
  return `${keyOf(identity)}: ${source?.message ?? "not looked at"}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file === "-" ? "/dev/stdin" : file, "utf8");
  } catch (cause) {
    throw new UsageError(`cannot read ${file}`, { cause });
  }
}
