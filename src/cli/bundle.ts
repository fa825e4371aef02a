import { link, readFile, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { stringify } from "yaml";
import { version } from "../app/version.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { eventsIn } from "../doctor/events.ts";
import { exposuresIn } from "../doctor/exposures.ts";
import { type Installation, installationsOf } from "../doctor/installations.ts";
import { newestLease } from "../doctor/leadership.ts";
import { contextsIn } from "../doctor/contexts.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { removed, withoutTokens } from "../text/without-tokens.ts";
import { shownSettings } from "./bundle-settings.ts";
import { checksOf } from "./doctor.ts";
import { UsageError } from "./errors.ts";
import type { BundleOptions } from "./options.ts";
import { type ClusterPlace, type CommandPlace, placeOf } from "./place.ts";
import { defaultSettingsFile } from "./settings.ts";
import { tar } from "./tar.ts";
import { viewsOf } from "./views.ts";

/** Of one file, in characters, so that the bundle fits into a mail. */
const maxFile = 8 * 1024 * 1024;

/** Of the log of one pod. */
const log = { lines: 5_000, bytes: 1024 * 1024 };

/** Writes what a bug report needs into one archive, without secrets. */
export async function bundle(options: BundleOptions): Promise<void> {
  const at = new Date();
  const file = options.file ?? `attache-bundle-${at.toISOString().replace(/[-:]|\.\d+/g, "")}.tar.gz`;
  await using place = await placeOf(options);
  const collected = new Collected();
  await collect(place, options, collected);
  const entries = collected.entries(at).map(({ name, text }) => ({ name: `attache-bundle/${name}`, text }));
  await writeWhole(file, gzipSync(tar(entries, at)));
  const missing = collected.missing.map((one) => `\n  not collected: ${one}`).join("");
  process.stdout.write(`${file}: ${entries.length} files, no Secret was read${missing}\n`);
}

/** What was collected; a part that fails does not keep others from it. */
class Collected {
  readonly #texts = new Map<string, string>();
  readonly #secrets = new Set<string>();
  readonly missing: string[] = [];

  async add(name: string, read: () => unknown): Promise<void> {
    try {
      const value = await read();
      if (value !== undefined)
        this.#texts.set(name, typeof value === "string" ? value : stringify(value, { lineWidth: 0 }));
    } catch (error) {
      if (!(error instanceof AttacheError)) throw error;
      this.missing.push(`${name}: ${withoutTokens(error.problem)}`);
    }
  }

  addSettings(name: string, text: string): Promise<void> {
    return this.add(name, () => {
      const { text: shown, secrets } = shownSettings(text, name);
      for (const secret of secrets) this.#secrets.add(secret);
      return shown;
    });
  }

  entries(at: Date) {
    const about = [
      `attaché ${version}, node ${process.versions.node}, ${at.toISOString()}`,
      `No Secret was read. Text that looks like a key or a token is replaced by ${removed}.`,
      ...this.missing.map((one) => `not collected: ${one}`),
    ];
    const all = [["README.txt", `${about.join("\n")}\n`] as const, ...this.#texts];
    return all.map(([name, text]) => ({ name, text: this.#clean(text) }));
  }

  #clean(text: string): string {
    const cut =
      text.length > maxFile ? `${text.slice(0, maxFile)}\n[cut: ${text.length - maxFile} more]\n` : text;
    const known = [...this.#secrets].reduce((left, secret) => left.replaceAll(secret, removed), cut);
    return withoutTokens(known);
  }
}

async function collect(place: CommandPlace, options: BundleOptions, collected: Collected): Promise<void> {
  await collected.add("doctor.yaml", () => checksOf(place, options));
  await collected.add("identities.yaml", () => identities(place));
  if (place.loaded !== undefined) {
    const text = await readFile(options.config ?? defaultSettingsFile, "utf8");
    await collected.addSettings("settings.yaml", text);
  }
  if (place.kind === "directory") return;
  const { api, namespace } = place;
  await collected.add("consumers.yaml", () => exposuresIn({ api, namespace, readsSecrets: false }));
  await collected.add("contexts.yaml", () => contextsIn(api, namespace));
  await collected.add("events.yaml", () => events(api, namespace));
  const named = [options.installation ?? place.loaded?.settings.installation ?? []].flat();
  for (const one of await installationsOf({ api, namespace, named })) await collectOf(one, place, collected);
}

async function collectOf(
  installation: Installation,
  place: ClusterPlace,
  collected: Collected,
): Promise<void> {
  const { name, home, replicas, settings } = installation;
  const { api } = place;
  await collected.add(`${name}/lease.yaml`, () =>
    newestLease({ api, installation: name, namespaces: [home] }),
  );
  await collected.add(`${name}/replicas.yaml`, () => replicas);
  if (home !== place.namespace) await collected.add(`${name}/events.yaml`, () => events(api, home));
  if (settings !== undefined) await collected.addSettings(`${name}/settings.yaml`, settings.text);
  for (const { namespace, name: pod } of replicas) {
    const path = `${pathOf(resources.pods, { namespace, name: pod })}/log`;
    const query = { container: "attache", tailLines: log.lines, limitBytes: log.bytes };
    await collected.add(
      `${name}/${pod.slice(0, 60)}.log`,
      async () => (await api.text({ path, query })).text,
    );
  }
}

/** Without annotations of others, which may hold anything. */
async function identities(place: CommandPlace): Promise<unknown> {
  const { views, problems } = await viewsOf(place, {});
  const shown = views.map(({ identity: { metadata, spec }, status, installations }) => {
    const { name, namespace, uid, generation, creationTimestamp, deletionTimestamp } = metadata;
    const own = Object.entries(metadata.annotations ?? {}).filter(([key]) => key.startsWith("attache.dev/"));
    const times = { creationTimestamp, deletionTimestamp };
    return {
      name,
      namespace,
      uid,
      generation,
      ...times,
      annotations: Object.fromEntries(own),
      installations,
      spec,
      status,
    };
  });
  return { identities: shown, problems: problems.map(({ message }) => message) };
}

async function events(api: ClusterPlace["api"], namespace: string | undefined): Promise<unknown> {
  const found = await eventsIn(api, namespace);
  return found.map(({ metadata, type, reason, note, regarding, eventTime, series }) => {
    return { namespace: metadata.namespace, eventTime, series, type, reason, regarding, note };
  });
}

/** As a whole or not at all, for its owner alone, and over no other file. */
async function writeWhole(file: string, content: Buffer): Promise<void> {
  const beside = `${file}.${process.pid}.tmp`;
  try {
    await writeFile(beside, content, { flag: "wx", mode: 0o600 });
    await link(beside, file);
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const problem = code === "EEXIST" ? `${file} is there already` : `${file} cannot be written (${message})`;
    throw new UsageError(problem, { cause, remedy: "Name another file with --file." });
  } finally {
    await rm(beside, { force: true });
  }
}
