import { causesIn, exposedIn, isReady } from "../doctor/identity-problems.ts";
import type { SeenConsumers } from "../doctor/exposures.ts";
import { consumerKey } from "../emissary/consumer.ts";
import { severities } from "../emissary/exposure.ts";
import type { Check } from "../mesh/port.ts";
import type { IdentityView } from "../store/store.ts";
import { someOf } from "../text/some-of.ts";

/** Identities and consumers that a paragraph names; the rest is counted. */
const named = 5;

/**
 * The answers to what an operator asks first: whether attaché works, who is exposed, and how many identities
 * are ready.
 * @param working whether attaché works, by installation
 * @param seen all consumers, if the caller may list them; else those in the status of identities count
 */
export function answersOf(
  working: readonly Check[],
  views: readonly IdentityView[],
  now: Date,
  seen?: SeenConsumers,
): string[] {
  const exposed = exposedIn(views, seen?.exposures).map(({ exposure }) => exposure);
  const grades = severities.flatMap((severity) => {
    const count = exposed.filter((one) => one === severity).length;
    return count === 0 ? [] : [`${count} ${severity}`];
  });
  const consumers =
    seen?.consumers.length ?? views.reduce((sum, { status }) => sum + (status?.usedByCount ?? 0), 0);
  const ready = views.filter((view) => isReady(view, now)).length;
  return [
    ...working.map(({ message }) => `attaché     ${message}`),
    ...(consumers === 0 ? [] : [`consumers   ${grades.join(", ") || "none exposed"}, of ${consumers}`]),
    ...(views.length === 0 ? [] : [`identities  ${ready} of ${views.length} ready`]),
  ];
}

/** What to do: about attaché, about the exposed, and about each cause of problems. */
export function adviceOn(
  working: readonly Check[],
  views: readonly IdentityView[],
  now: Date,
  seen?: SeenConsumers,
): string[] {
  return [
    ...working.flatMap(({ message, remedy }) =>
      remedy === undefined ? [] : [withRemedy(`attaché: ${message}`, remedy)],
    ),
    ...exposed(views, seen),
    ...causesIn(views, now).map(textOf),
  ];
}

function withRemedy(text: string, remedy: string | undefined): string {
  return remedy === undefined ? text : `${text}\n  → ${remedy}`;
}

function exposed(views: readonly IdentityView[], seen: SeenConsumers | undefined): string[] {
  const uses = exposedIn(views, seen?.exposures);
  if (uses.length === 0) return [];
  const texts = uses.map((use) => `${consumerKey(use)} (${use.exposure ?? ""})`);
  return [
    withRemedy(
      `exposed: ${someOf(texts, named)}.`,
      "Run `attache status --mappings` for the reason of each, and what to change.",
    ),
  ];
}

function textOf({ type, mesh, message, having }: ReturnType<typeof causesIn>[number]): string {
  const keys = having.map(({ key }) => key);
  if (keys.length === 1) return `${keys.join()} ${type}: ${message}`;
  return `${keys.length} identities of mesh ${mesh}, ${type}: ${message}\n  ${someOf(keys, named)}`;
}
