import { AttacheError } from "../errors/attache-error.ts";
import { readFile } from "node:fs/promises";
import { stringify } from "yaml";
import { type IdentityKey, keyOf, type MeshCertificate, type Status } from "../api/mesh-certificate.ts";
import { parseMeshCertificates } from "../api/parse.ts";
import { startAttache } from "../app/attache.ts";
import { aborted } from "../runtime/abort.ts";
import { systemClock } from "../runtime/clock.ts";
import type { LoadedSettings } from "../config/load.ts";
import type { Manifest } from "../render/manifest.ts";
import { uidOf } from "../store/directory/identities.ts";
import { viewDirectory } from "../store/directory/view.ts";
import type { Store } from "../store/store.ts";
import { createLogger } from "../telemetry/logger.ts";
import { UsageError } from "./errors.ts";
import type { RenderOptions } from "./options.ts";
import { settingsOf } from "./settings.ts";
import { durationOf, timeout, untilSignalled } from "./signals.ts";

/** A credential did not arrive in time. Nothing is printed, because an incomplete set is useless. */
class RenderError extends AttacheError {
  /** @param reasons one line for each identity that is missing. */
  constructor(reasons: readonly string[]) {
    super(
      "ATTACHE_RENDER_INCOMPLETE",
      `no credential in time for\n${reasons.map((line) => `  ${line}`).join("\n")}`,
    );
  }
}

/** Fetches every credential once, as `run` does, and prints the manifests once it has all of them. */
export async function renderOnce(files: readonly string[], options: RenderOptions): Promise<void> {
  const timeoutMs = durationOf(options.timeout);
  const noServer = { path: ["server", "enabled"], text: "false", place: "render" };
  const loaded = await settingsOf(options, [noServer]);
  const identities = files.length > 0 ? await identitiesIn(files) : await identitiesOf(loaded);
  const once = collect(identities);
  const logger = createLogger("error");
  await using attache = await startAttache({
    loaded,
    logger,
    clock: systemClock,
    env: process.env,
    store: once.store,
  });
  const over = aborted(AbortSignal.any([timeout(timeoutMs), untilSignalled()]));
  await holding(Promise.race([once.complete, attache.done, over]));
  const missing = identities.filter((identity) => !once.targets.has(keyOf(identity)));
  if (missing.length > 0) throw new RenderError(missing.map((identity) => whyNot(identity, once.statuses)));
  const manifests = identities.flatMap((identity) => once.targets.get(keyOf(identity)) ?? []);
  process.stdout.write(manifests.map((manifest) => stringify(manifest, { lineWidth: 0 })).join("---\n"));
}

async function identitiesIn(files: readonly string[]): Promise<MeshCertificate[]> {
  const identities: MeshCertificate[] = [];
  for (const file of files) identities.push(...(await parseMeshCertificates(await read(file), file)));
  if (identities.length === 0) {
    throw new UsageError(`there is no MeshCertificate in ${files.join(", ")}`, {
      remedy: "Name a file that has one; `kind: MeshCertificate` says that it is one.",
    });
  }
  const keys = new Set<IdentityKey>();
  const twice = identities.map(keyOf).find((key) => keys.size === keys.add(key).size);
  if (twice === undefined) return identities;
  throw new UsageError(`the MeshCertificate ${twice} is there twice`, {
    remedy: "Leave one of the two out.",
  });
}

async function identitiesOf({ settings }: LoadedSettings): Promise<MeshCertificate[]> {
  const { directory } = settings.store;
  const { views, problems } = await viewDirectory(directory);
  if (problems[0] !== undefined) throw problems[0];
  if (views.length > 0) return views.map(({ identity }) => identity);
  throw new UsageError(`there is no MeshCertificate in ${directory.identities.join(", ")}`, {
    remedy: "Write one there, name other files after `render`, or correct `store.directory.identities`.",
  });
}

/** An empty store that collects what is applied. */
function collect(identities: readonly MeshCertificate[]) {
  const targets = new Map<IdentityKey, readonly Manifest[]>();
  const statuses = new Map<IdentityKey, Status>();
  const complete = Promise.withResolvers<undefined>();
  const settle = () => {
    const keys = identities.map(keyOf);
    if (keys.every((key) => targets.has(key) || isRefused(statuses.get(key)))) complete.resolve(undefined);
  };
  const store: Store = {
    async *watch(signal) {
      yield* identities.map((identity) => ({ type: "identity", identity: withUid(identity) }) as const);
      yield { type: "synced" };
      await aborted(signal);
    },
    read: () => Promise.resolve([]),
    apply(identity, manifests) {
      targets.set(keyOf(identity), manifests);
      settle();
      return Promise.resolve({ writes: manifests.length });
    },
    withdraw: () => Promise.resolve(),
    usesOf: () => [],
    report(identity, status) {
      statuses.set(keyOf(identity), status);
      settle();
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return { store, targets, statuses, complete: complete.promise };
}

/** For a reason that does not change with time. */
function isRefused(status: Status | undefined): boolean {
  const source = status?.conditions.find(({ type }) => type === "SourceReady");
  return ["IdentityRefused", "NotAllowed", "Unknown"].includes(source?.reason ?? "");
}

/** With the UID that `run` derives, so that it recognizes the manifests as its own. */
function withUid(identity: MeshCertificate): MeshCertificate {
  const { uid = uidOf(keyOf(identity)) } = identity.metadata;
  return { ...identity, metadata: { ...identity.metadata, uid } };
}

function whyNot(identity: MeshCertificate, statuses: ReadonlyMap<IdentityKey, Status>): string {
  const source = statuses.get(keyOf(identity))?.conditions.find(({ type }) => type === "SourceReady");
  return `${keyOf(identity)}: ${source?.message ?? "no result yet"}`;
}

/** Keeps the process alive during `work`, even if nothing else that waits has a handle. */
async function holding(work: Promise<void>): Promise<void> {
  const timer = setInterval(() => undefined, 60_000);
  try {
    await work;
  } finally {
    clearInterval(timer);
  }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file === "-" ? "/dev/stdin" : file, "utf8");
  } catch (cause) {
    throw new UsageError(`cannot read ${file}`, { cause });
  }
}
