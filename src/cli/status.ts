import { isDeepStrictEqual } from "node:util";
import { keyOf, meshOf, type MeshCertificate } from "../api/mesh-certificate.ts";
import { conditionOf } from "../api/status.ts";
import { leadershipCheck } from "../doctor/leadership.ts";
import type { Check } from "../mesh/port.ts";
import { systemClock } from "../runtime/clock.ts";
import { isFolderLocked } from "../store/directory/root-folder.ts";
import { Layout } from "../store/directory/layout.ts";
import type { IdentityView, StoreView } from "../store/store.ts";
import { explain } from "./errors.ts";
import { mappings } from "./mappings.ts";
import type { Format, StatusOptions } from "./options.ts";
import { type Column, print, relative } from "./output.ts";
import { clusterOf, type CommandPlace, placeOf } from "./place.ts";
import { untilSignalled } from "./signals.ts";
import { adviceOn, answersOf, isAlarming, isReady } from "./status-summary.ts";
import { followViews, viewsOf } from "./views.ts";

/** What is shown at one time. */
interface Shown extends StoreView {
  readonly working: readonly Check[];
}

interface Row {
  readonly view: IdentityView;
  readonly now: Date;
}

/**
 * Prints whether attaché works, who is exposed, what is wrong, and each identity.
 * Exit status 1 unless attaché works, all identities are readable and ready, and none is exposed.
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
    show({ ...view, working: await working(place, view) }, options.output);
    return;
  }
  await watch(place, names, options.output);
}

function isEmpty({ problems, views }: StoreView): boolean {
  return problems.length === 0 && views.length === 0;
}

/** Whether attaché works, for each installation that has published one of the identities. */
async function working(place: CommandPlace, { views }: StoreView): Promise<readonly Check[]> {
  if (views.length === 0) return [];
  if (place.kind === "directory") return workingOn(place.loaded.settings.store.directory.path);
  const { api, loaded } = place;
  const settings = loaded?.settings;
  const own = settings?.store.kubernetes.leaderElection.enabled === true ? [settings.installation] : [];
  const installations = new Set([...own, ...views.flatMap((view) => view.installations)]);
  return Promise.all(
    [...installations].map(async (installation) => {
      const namespace = own.includes(installation) ? api.namespace : undefined;
      const check = await leadershipCheck({ api, installation, namespace, now: new Date() });
      return { ...check, name: "attaché" };
    }),
  );
}

async function workingOn(path: string): Promise<readonly Check[]> {
  const name = "attaché";
  const isLocked = await isFolderLocked(new Layout(path).lock);
  if (isLocked === undefined) return [];
  if (isLocked) return [{ name, status: "ok", message: `works on ${path}` }];
  const message = `does not work: no process has ${path} open. Nothing is renewed.`;
  return [{ name, status: "failed", message, remedy: "Start it: attache run --config FILE." }];
}

/** Prints changes until a signal. */
async function watch(place: CommandPlace, names: readonly string[], output: Format): Promise<void> {
  const ended = untilSignalled();
  await using over = await followViews(place, names);
  let shown: Shown | undefined;
  while (!ended.aborted) {
    const view = await over.look();
    const next = { ...view, working: await working(place, view) };
    show(next, output, shown);
    shown = next;
    await systemClock.sleep(watchEveryMs, ended).catch(() => undefined);
  }
}

const watchEveryMs = 1_000;

/** @param before what was shown last; then only changes are printed. */
function show(shown: Shown, output: Format, before?: Shown): void {
  const now = new Date();
  const rows = shown.views.map((view) => ({ view, now }));
  const changed = before === undefined ? shown.views : news(shown, before);
  const there = new Set(shown.views.map(({ identity }) => keyOf(identity)));
  const gone = before?.views.filter(({ identity }) => !there.has(keyOf(identity))) ?? [];
  const data = [
    ...changed.map(({ identity, status: reported }) => ({ ...nameOf(identity), status: reported })),
    ...gone.map(({ identity }) => ({ ...nameOf(identity), gone: true })),
  ];
  const stopped = shown.working.filter(({ status: is }) => is === "failed");
  const reported = before?.working.map((check) => check.status);
  const isNews = !isDeepStrictEqual(
    reported,
    shown.working.map((check) => check.status),
  );
  const notes = [
    ...adviceOn(isNews ? shown.working : [], changed, now),
    ...gone.map(({ identity }) => `${keyOf(identity)} is gone.`),
  ];
  if (before === undefined || data.length > 0 || (isNews && notes.length > 0)) {
    const head = before === undefined ? answersOf(shown.working, shown.views, now) : [];
    const more = changed.map((view) => ({ view, now }));
    print(output, { head, rows, columns, data, notes, ...(before && { more }) });
  }
  const known = new Set(before?.problems.map(({ message }) => message));
  for (const problem of shown.problems)
    if (!known.has(problem.message)) process.stderr.write(`\n${explain(problem)}`);
  const isWell =
    shown.views.every((view) => isReady(view, now) && !isAlarming(view)) &&
    shown.problems.length === 0 &&
    stopped.length === 0;
  process.exitCode = isWell ? 0 : 1;
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
  { heading: "IDENTITY", cell: ({ view }) => keyOf(view.identity) },
  { heading: "MESH", cell: ({ view }) => meshOf(view.identity) },
  { heading: "READY", cell: ready },
  { heading: "SERVED", cell: served },
  { heading: "PROTECTED", cell: protection },
  { heading: "ENDS", cell: ({ view, now }) => when(view.status?.notAfter, now) },
  { heading: "AGE", cell: ({ view, now }) => age(view.identity.metadata.creationTimestamp, now) },
  { heading: "SPIFFE ID", cell: ({ view }) => view.status?.spiffeId ?? "-" },
  {
    heading: "SOURCE",
    cell: ({ view }) => conditionOf(view.status, "SourceReady")?.reason ?? "-",
    wide: true,
  },
  { heading: "ROTATED", cell: ({ view, now }) => when(view.status?.lastRotationTime, now), wide: true },
  { heading: "SERIAL", cell: ({ view }) => view.status?.serialNumber ?? "-", wide: true },
  { heading: "RENEWAL", cell: ({ view, now }) => when(view.status?.renewalTime, now), wide: true },
  { heading: "ROOTS", cell: ({ view }) => String(view.status?.roots?.length ?? 0), wide: true },
];

function ready({ view, now }: Row): string {
  const answer = isReady(view, now) ? "yes" : "NO";
  return view.identity.metadata.deletionTimestamp === undefined ? answer : `${answer} (Terminating)`;
}

/** In capitals if an operator must act now. */
function served({ view }: Row): string {
  const { status: is, reason } = conditionOf(view.status, "Served") ?? {};
  if (is === undefined || reason === undefined || reason === "NotConfigured") return "-";
  if (is === "True") return "yes";
  return ["Exposed", "Frozen"].includes(reason) ? reason.toUpperCase() : reason;
}

function protection({ view }: Row): string {
  const { status: is, reason } = conditionOf(view.status, "Protected") ?? {};
  if (is === undefined || reason === undefined) return view.installations.length === 0 ? "-" : "unused";
  return is === "True" ? "yes" : reason.toUpperCase();
}

function age(time: string | undefined, now: Date): string {
  return time === undefined ? "-" : relative(new Date(time), now).replace(/ ago$/, "");
}

function when(time: string | undefined, now: Date): string {
  return time === undefined ? "-" : relative(new Date(time), now);
}
