import { isDeepStrictEqual } from "node:util";
import { keyOf, meshOf, type MeshCertificate, type Status } from "../api/mesh-certificate.ts";
import type { Condition, ConditionType } from "../api/status.ts";
import { systemClock } from "../runtime/clock.ts";
import { explain } from "./errors.ts";
import type { Format } from "./options.ts";
import { mappings } from "./mappings.ts";
import { type Column, print, relative } from "./output.ts";
import type { StatusOptions } from "./options.ts";
import { clusterOf, type CommandPlace, placeOf } from "./place.ts";
import { untilSignalled } from "./signals.ts";
import { followViews, viewsOf } from "./views.ts";
import type { IdentityView, StoreView } from "../store/store.ts";

interface Row {
  readonly identity: MeshCertificate;
  readonly status: Status | undefined;
  readonly now: Date;
}

/**
 * Prints the status of each identity; exit status 1 unless all are readable and ready and none is exposed.
 */
export async function status(names: readonly string[], options: StatusOptions): Promise<void> {
  if (options.mappings !== undefined) {
    await using cluster = await clusterOf(options, "--mappings");
    await mappings(cluster, options.output);
    return;
  }
  await using place = await placeOf(options);
  if (options.watch === undefined) {
    const view = await viewsOf(place, names);
    if (isEmpty(view)) process.stderr.write(`\n${nothingIn(place)}\n`);
    show(view, options.output);
    return;
  }
  await watch(place, names, options.output);
}

function isEmpty({ views, problems }: StoreView): boolean {
  return problems.length === 0 && views.length === 0;
}

/** Prints changes until a signal. */
async function watch(place: CommandPlace, names: readonly string[], output: Format): Promise<void> {
  const ended = untilSignalled();
  await using over = await followViews(place, names);
  let shown: StoreView | undefined;
  while (!ended.aborted) {
    const view = await over.look();
    show(view, output, shown);
    shown = view;
    await systemClock.sleep(watchEveryMs, ended).catch(() => undefined);
  }
}

const watchEveryMs = 1_000;

/** @param before the view shown last; then only changes are printed. */
function show(view: StoreView, output: Format, before?: StoreView): void {
  const now = new Date();
  const rowOf = ({ identity, status: reported }: IdentityView): Row => ({ identity, status: reported, now });
  const rows = view.views.map(rowOf);
  const changed = before === undefined ? rows : news(view, before).map(rowOf);
  const there = new Set(view.views.map(({ identity }) => keyOf(identity)));
  const gone = before?.views.filter(({ identity }) => !there.has(keyOf(identity))) ?? [];
  const data = [
    ...changed.map(({ identity, status: reported }) => ({ ...nameOf(identity), status: reported })),
    ...gone.map(({ identity }) => ({ ...nameOf(identity), gone: true })),
  ];
  const notes = [...changed.flatMap(advice), ...gone.map(({ identity }) => `${keyOf(identity)} is gone.`)];
  if (before === undefined || data.length > 0)
    print(output, { rows, columns, data, notes, ...(before && { more: changed }) });
  const known = new Set(before?.problems.map(({ message }) => message));
  for (const problem of view.problems)
    if (!known.has(problem.message)) process.stderr.write(`\n${explain(problem)}`);
  process.exitCode =
    rows.every((row) => isReady(row) && !isAlarming(row)) && view.problems.length === 0 ? 0 : 1;
}

function nameOf({ metadata: { namespace, name } }: MeshCertificate) {
  return { namespace, name };
}

/** The identities that are new or whose status has changed. */
function news({ views }: StoreView, shown: StoreView): IdentityView[] {
  const before = new Map(shown.views.map(({ identity, status: was }) => [keyOf(identity), { status: was }]));
  return views.filter(({ identity, status: is }) => {
    const was = before.get(keyOf(identity));
    return was === undefined || !isDeepStrictEqual(was.status, is);
  });
}

function nothingIn(place: CommandPlace): string {
  if (place.kind === "directory") {
    return `There is no MeshCertificate in ${place.loaded.settings.store.directory.identities.join(", ")} yet.`;
  }
  const { namespace } = place;
  return namespace === undefined
    ? "There is no MeshCertificate in the cluster yet."
    : `There is no MeshCertificate in the namespace ${namespace}; -A looks in all.`;
}

const columns: readonly Column<Row>[] = [
  { heading: "IDENTITY", cell: ({ identity }) => keyOf(identity) },
  { heading: "MESH", cell: ({ identity }) => meshOf(identity) },
  { heading: "READY", cell: (row) => (isReady(row) ? "yes" : "NO") },
  { heading: "SOURCE", cell: (row) => conditionOf(row, "SourceReady")?.reason ?? "-" },
  { heading: "EXPIRES", cell: ({ status: reported, now }) => when(reported?.notAfter, now) },
  { heading: "ROTATED", cell: ({ status: reported, now }) => when(reported?.lastRotationTime, now) },
  { heading: "SERVED", cell: served },
  { heading: "SPIFFE ID", cell: ({ status: reported }) => reported?.spiffeId ?? "-" },
  { heading: "SERIAL", cell: ({ status: reported }) => reported?.serialNumber ?? "-", wide: true },
  { heading: "RENEWAL", cell: ({ status: reported, now }) => when(reported?.renewalTime, now), wide: true },
  { heading: "ROOTS", cell: ({ status: reported }) => String(reported?.roots?.length ?? 0), wide: true },
];

/** In capitals if an operator must act now. */
function served(row: Row): string {
  const { status: is, reason } = conditionOf(row, "Served") ?? {};
  if (is === undefined || reason === undefined || reason === "NotConfigured") return "-";
  if (is === "True") return "yes";
  return isAlarming(row) ? reason.toUpperCase() : reason;
}

/** Whether requests leave in plaintext now, or the ingress accepts no configuration at all. */
function isAlarming(row: Row): boolean {
  const { status: is, reason = "" } = conditionOf(row, "Served") ?? {};
  return is === "False" && (reason === "Exposed" || reason === "Frozen");
}

/** Also checks the expiry: a status that is no longer updated must not stay ready after it. */
function isReady(row: Row): boolean {
  const isOver = row.status?.notAfter !== undefined && new Date(row.status.notAfter) <= row.now;
  return !isOver && conditionOf(row, "Ready")?.status === "True";
}

/** The problems of an identity, with their remedies. */
function advice(row: Row): string[] {
  const key = keyOf(row.identity);
  if (row.status === undefined) return [`${key}: no attaché has looked at it yet; is one running?`];
  const isStale = conditionOf(row, "Ready")?.status === "True" && !isReady(row);
  const problems = row.status.conditions
    .filter(({ status: is, reason }) => is !== "True" && reason !== "NotConfigured")
    .map(({ type, message }) => `${key} ${type}: ${message}`);
  return isStale ? [`${key} the leaf has expired; is attaché running?`, ...problems] : problems;
}

function conditionOf({ status: reported }: Row, type: ConditionType): Condition | undefined {
  return reported?.conditions.find((condition) => condition.type === type);
}

function when(time: string | undefined, now: Date): string {
  return time === undefined ? "-" : relative(new Date(time), now);
}
