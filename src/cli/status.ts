import { isDeepStrictEqual } from "node:util";
import { keyOf } from "../api/mesh-certificate.ts";
import { type SeenConsumers, exposuresIfAllowed } from "../doctor/exposures.ts";
import { exposedIn, isAlarming, isReady } from "../doctor/identity-problems.ts";
import { resources } from "../kube/resources.ts";
import type { Check } from "../mesh/port.ts";
import { systemClock } from "../runtime/clock.ts";
import type { IdentityView, StoreView } from "../store/store.ts";
import { explain, UsageError } from "./errors.ts";
import { mappings } from "./mappings.ts";
import type { StatusOptions } from "./options.ts";
import { isTable, type Output, outputOf, print } from "./output.ts";
import { clusterOf, type CommandPlace, placeOf } from "./place.ts";
import { untilSignalled } from "./signals.ts";
import { adviceOn, answersOf } from "./status-summary.ts";
import { columns, type StatusRow } from "./status-table.ts";
import { followViews, sayNothingIn, viewsOf, type Wanted } from "./views.ts";
import { workingIn } from "./working.ts";

/** What is shown at one time. */
interface Shown extends StoreView {
  readonly working: readonly Check[];
  /** All consumers, where they are seen. */
  readonly seen?: SeenConsumers;
}

interface Printing {
  readonly output: Output;
  /** Only the rows of a table. */
  readonly isBare: boolean;
}

/**
 * Prints whether attaché works, who is exposed, what is wrong, and each identity.
 * Exit status 1 unless attaché works, all identities are readable and ready, and none is exposed.
 */
export async function status(names: readonly string[], options: StatusOptions): Promise<void> {
  const printing = printingOf(names, options);
  if (options.mappings !== undefined) {
    await using cluster = await clusterOf(options, "--mappings");
    await mappings(cluster, printing);
    return;
  }
  await using place = await placeOf(options);
  const wanted = { names, selector: options.selector };
  if (options.watch !== undefined) {
    await watch(place, wanted, printing);
    return;
  }
  const view = await viewsOf(place, wanted);
  sayNothingIn(place, view, wanted);
  const seen = await consumersOf(place, wanted);
  show({ ...view, working: await workingIn(place, view.views), ...(seen && { seen }) }, printing);
}

/** Also of contexts that no identity publishes; nothing if it is about some identities, or forbidden. */
async function consumersOf(place: CommandPlace, { names = [], selector }: Wanted) {
  if (place.kind === "directory" || names.length > 0 || selector !== undefined) return undefined;
  const { api, namespace } = place;
  return exposuresIfAllowed(api, namespace);
}

/** @throws UsageError for flags that contradict each other */
function printingOf(names: readonly string[], options: StatusOptions): Printing {
  const { selector, mappings: areMappings, namespace, headers } = options;
  const output = outputOf(options.output, { hasNames: true });
  const elsewhere = names.find((name) => name.includes("/") && !name.startsWith(`${namespace ?? ""}/`));
  const problem = [
    names.length > 0 && selector !== undefined && "names and -l: a selector chooses among all identities",
    names.length > 0 && areMappings && "--mappings and names: it lists consumers, not identities",
    selector !== undefined &&
      areMappings &&
      "--mappings and -l: a selector chooses identities, not consumers",
    namespace !== undefined && elsewhere !== undefined && `-n ${namespace} and ${elsewhere}: two namespaces`,
    !headers && !isTable(output) && `--no-headers and -o ${output.format}: only a table has headers`,
  ].find((one) => typeof one === "string");
  if (problem === undefined) return { output, isBare: !headers };
  throw new UsageError(`cannot combine ${problem}`, { remedy: "Leave one of them out." });
}

/** Prints changes until a signal. */
async function watch(place: CommandPlace, wanted: Wanted, printing: Printing): Promise<void> {
  const ended = untilSignalled();
  await using over = await followViews(place, wanted);
  let shown: Shown | undefined;
  while (!ended.aborted) {
    const view = await over.look();
    const next = { ...view, working: await workingIn(place, view.views) };
    if (shown === undefined) sayNothingIn(place, view, wanted);
    show(next, printing, shown);
    shown = next;
    await systemClock.sleep(watchEveryMs, ended).catch(() => undefined);
  }
}

const watchEveryMs = 1_000;

/** @param before what was shown last; then only changes are printed. */
function show(shown: Shown, { output, isBare }: Printing, before?: Shown): void {
  const now = new Date();
  const rows = shown.views.map((view) => ({ view, now }));
  const changed = before === undefined ? shown.views : news(shown, before);
  const there = new Set(shown.views.map(({ identity }) => keyOf(identity)));
  const gone = before?.views.filter(({ identity }) => !there.has(keyOf(identity))) ?? [];
  const items = [
    ...changed.map(({ identity, status: reported }) => ({ ...identity, status: reported })),
    ...gone.map(({ identity }) => ({ ...identity, gone: true })),
  ];
  const exposed = exposedIn(shown.views, shown.seen?.exposures);
  const data = { apiVersion: "v1", kind: "List", attache: shown.working, exposed, items };
  const stopped = shown.working.filter(({ status: is }) => is === "failed");
  const reported = before?.working.map((check) => check.status);
  const isNews = !isDeepStrictEqual(
    reported,
    shown.working.map((check) => check.status),
  );
  const notes = [
    ...adviceOn(isNews ? shown.working : [], changed, now, shown.seen),
    ...gone.map(({ identity }) => `${keyOf(identity)} is gone.`),
  ];
  const isEmpty =
    before === undefined && isTable(output) && rows.length + notes.length + shown.working.length === 0;
  if (!isEmpty && (before === undefined || items.length > 0 || (isNews && notes.length > 0))) {
    const head = before === undefined ? answersOf(shown.working, shown.views, now, shown.seen) : [];
    const more = changed.map((view) => ({ view, now }));
    print(output, { head, rows, columns, data, notes, isBare, nameOf, ...(before && { more }) });
  }
  const known = new Set(before?.problems.map(({ message }) => message));
  for (const problem of shown.problems)
    if (!known.has(problem.message)) process.stderr.write(`\n${explain(problem)}`);
  const isWell =
    shown.views.every((view) => isReady(view, now) && !isAlarming(view, now)) &&
    shown.problems.length + exposed.length === 0 &&
    stopped.length === 0;
  process.exitCode = isWell ? 0 : 1;
}

/** As kubectl names it. */
function nameOf({ view: { identity } }: StatusRow): string {
  const { kind, group } = resources.meshCertificates;
  return `${kind.toLowerCase()}.${group}/${identity.metadata.name}`;
}

/** The identities that are new or whose status has changed. */
function news({ views }: StoreView, shown: StoreView): IdentityView[] {
  const before = new Map(shown.views.map(({ identity, status: was }) => [keyOf(identity), { status: was }]));
  return views.filter(({ identity, status: is }) => {
    const was = before.get(keyOf(identity));
    return was === undefined || !isDeepStrictEqual(was.status, is);
  });
}
