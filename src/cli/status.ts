import { keyOf, meshOf, type MeshIdentity, type Status } from "../api/mesh-identity.ts";
import type { Condition, ConditionType } from "../api/status.ts";
import { systemClock } from "../clock.ts";
import type { AttacheError } from "../errors/attache-error.ts";
import type { IdentityView } from "../stores/view.ts";
import { explain } from "./failure.ts";
import type { Format } from "./formats.ts";
import { mappings } from "./mappings.ts";
import { type Column, print, relative } from "./output.ts";
import type { StatusOptions } from "./program.ts";
import { clusterOf, type Place, placeOf } from "./place.ts";
import { untilSignalled } from "./signals.ts";
import { viewsOf } from "./views.ts";

interface Row {
  readonly identity: MeshIdentity;
  readonly status: Status | undefined;
  readonly now: Date;
}

/** Prints how each identity is; exit status 1 unless all can be read and are ready. */
export async function status(names: readonly string[], options: StatusOptions): Promise<void> {
  if (options.mappings !== undefined) {
    await using cluster = await clusterOf(options, "--mappings");
    await mappings(cluster, options.output);
    return;
  }
  await using place = await placeOf(options);
  if (options.watch === undefined) {
    const { views, problems } = await viewsOf(place, names);
    if (problems.length === 0 && views.length === 0) process.stderr.write(`\n${nothingIn(place)}\n`);
    show(views, problems, options.output);
    return;
  }
  await watch(place, names, options.output);
}

/** Prints again whatever has changed, until a signal. */
async function watch(place: Place, names: readonly string[], output: Format): Promise<void> {
  const ended = untilSignalled();
  let told = new Map<string, string>();
  while (!ended.aborted) {
    const { views, problems } = await viewsOf(place, names);
    const now = new Map(views.map((view) => [keyOf(view.identity), JSON.stringify(view.status)]));
    const changed = views.filter(({ identity }) => told.get(keyOf(identity)) !== now.get(keyOf(identity)));
    if (changed.length > 0 || told.size === 0) show(changed, problems, output);
    told = now;
    await systemClock.sleep(watchEveryMs, ended).catch(() => undefined);
  }
}

const watchEveryMs = 1_000;

function show(views: readonly IdentityView[], problems: readonly AttacheError[], output: Format): void {
  const now = new Date();
  const rows = views.map((view) => ({ identity: view.identity, status: view.status, now }));
  const data = rows.map(({ identity: { metadata }, status: reported }) => ({
    namespace: metadata.namespace,
    name: metadata.name,
    status: reported,
  }));
  process.stdout.write(print(output, { rows, columns, data }));
  const isTable = output === "table" || output === "wide";
  if (isTable) for (const row of rows) process.stdout.write(advice(row));
  for (const problem of problems) process.stderr.write(`\n${explain(problem)}`);
  process.exitCode = rows.every(isReady) && problems.length === 0 ? 0 : 1;
}

function nothingIn(place: Place): string {
  if (place.kind === "directory") {
    return `There is no MeshIdentity in ${place.loaded.settings.store.directory.identities.join(", ")} yet.`;
  }
  const { namespace } = place;
  return namespace === undefined
    ? "There is no MeshIdentity in the cluster yet."
    : `There is no MeshIdentity in the namespace ${namespace}; -A looks in all.`;
}

const columns: readonly Column<Row>[] = [
  { heading: "IDENTITY", cell: ({ identity }) => keyOf(identity) },
  { heading: "MESH", cell: ({ identity }) => meshOf(identity) },
  { heading: "READY", cell: (row) => (isReady(row) ? "yes" : "NO") },
  { heading: "SOURCE", cell: (row) => conditionOf(row, "SourceReady")?.reason ?? "-" },
  { heading: "EXPIRES", cell: ({ status: reported, now }) => when(reported?.notAfter, now) },
  { heading: "ROTATED", cell: ({ status: reported, now }) => when(reported?.lastRotationTime, now) },
  { heading: "SPIFFE ID", cell: ({ status: reported }) => reported?.spiffeId ?? "-" },
  { heading: "SERIAL", cell: ({ status: reported }) => reported?.serialNumber ?? "-", wide: true },
  { heading: "RENEWAL", cell: ({ status: reported, now }) => when(reported?.renewalTime, now), wide: true },
  { heading: "ROOTS", cell: ({ status: reported }) => String(reported?.roots?.length ?? 0), wide: true },
];

/** By this clock: a status that nobody updates any more must not go on saying that all is well. */
function isReady(row: Row): boolean {
  const isOver = row.status?.notAfter !== undefined && new Date(row.status.notAfter) <= row.now;
  return !isOver && conditionOf(row, "Ready")?.status === "True";
}

/** What to know and to do where not all is well. */
function advice(row: Row): string {
  if (row.status === undefined)
    return `\n${keyOf(row.identity)}: no attaché has looked at it yet; is one running?\n`;
  const stale =
    isReady(row) || conditionOf(row, "Ready")?.status !== "True"
      ? []
      : ["the leaf has expired; is attaché running?"];
  const troubles = row.status.conditions.filter(
    ({ status: is, reason }) => is !== "True" && reason !== "NotConfigured",
  );
  const lines = [...stale, ...troubles.map(({ type, message }) => `${type}: ${message}`)];
  return lines.map((line) => `\n${keyOf(row.identity)} ${line}\n`).join("");
}

function conditionOf({ status: reported }: Row, type: ConditionType): Condition | undefined {
  return reported?.conditions.find((condition) => condition.type === type);
}

function when(time: string | undefined, now: Date): string {
  return time === undefined ? "-" : relative(new Date(time), now);
}
