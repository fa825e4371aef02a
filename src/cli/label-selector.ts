import { UsageError } from "./errors.ts";

/** Whether labels fit a selector. */
export type LabelSelector = (labels: Readonly<Record<string, string>>) => boolean;

/**
 * The selectors of kubectl: `team=edge`, `team!=edge`, `team`, `!team`, `team in (a,b)`, `team notin (a,b)`,
 * several of them with commas (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/).
 * @throws UsageError
 */
export function labelSelector(text: string): LabelSelector {
  const requirements = text.split(/,(?![^(]*\))/).map((part) => requirement(part.trim(), text));
  return (labels) => requirements.every((fits) => fits(labels));
}

const forms =
  /^(?<not>!?)\s*(?<key>[\w./-]+)\s*(?:(?<operator>={1,2}|!=)\s*(?<value>[\w.-]*)|(?<set>in|notin)\s*\((?<values>[^()]*)\))?$/;

function requirement(part: string, text: string): LabelSelector {
  const { not, key, operator, value = "", set, values } = forms.exec(part)?.groups ?? {};
  const has = operator ?? set;
  if (key === undefined || (not === "!" && has !== undefined)) {
    throw new UsageError(`-l ${text}: ${JSON.stringify(part)} is no requirement of labels`, {
      remedy: "Write e.g. team=edge, team!=edge, team, !team or 'team in (edge, shop)', separated by commas.",
    });
  }
  if (has === undefined) return (labels) => Object.hasOwn(labels, key) === (not !== "!");
  const wanted = values?.split(",").map((one) => one.trim()) ?? [value];
  const isPositive = has !== "!=" && has !== "notin";
  return (labels) => (Object.hasOwn(labels, key) && wanted.includes(labels[key] ?? "")) === isPositive;
}
