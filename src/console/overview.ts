import type { Exposure } from "../emissary/exposure.ts";
import { severities } from "../emissary/exposure.ts";
import type { State } from "../telemetry/state.ts";
import type { Commands } from "./commands.ts";
import type { Answer, Cause, ExposedConsumer, HealthLevel, MeshSummary, Overview } from "./page-data.ts";
import type { History } from "./history.ts";
import { worst } from "./problems.ts";
import type { ConsoleSource } from "./source.ts";

/** The first view names so many of each; the rest is counted. */
export const maxCauses = 12;
const maxConsumers = 12;
const maxMeshes = 32;
const maxWatches = 3;

type Mesh = ConsoleSource["meshes"] extends Iterable<infer One> ? One : never;

/** What is counted of the identities. */
export interface Tally {
  readonly counts: Readonly<Record<HealthLevel, number>>;
  readonly causes: readonly Cause[];
  readonly moreCauses: number;
  readonly byMesh: ReadonlyMap<string, { readonly identities: number; readonly ready: number }>;
}

export function overviewOf(
  source: ConsoleSource,
  tally: Tally,
  { commands, history }: { readonly commands: Commands; readonly history: History },
): Omit<Overview, "version" | "now" | "attache"> {
  const { exposures } = source;
  const meshes = Array.from(source.meshes, (mesh) => meshSummary(mesh, tally, history));
  const working = isWorking(source.state, meshes, commands);
  const exposed = isExposed(source, commands);
  const current = isCurrent(source.state, tally, commands);
  // Where consumers cannot be known, nothing is awaited either.
  const verdict = verdictOf([working, ...(exposures === undefined ? [] : [exposed]), current]);
  return {
    verdict,
    answers: { working, exposed, current },
    counts: tally.counts,
    causes: tally.causes,
    moreCauses: tally.moreCauses,
    consumers: (exposures ?? []).slice(0, maxConsumers).map((one) => exposedConsumer(one, commands)),
    moreConsumers: Math.max(0, (exposures?.length ?? 0) - maxConsumers),
    meshes: meshes.slice(0, maxMeshes),
  };
}

export function exposedConsumer(
  { consumer, severity, message }: Exposure,
  commands: Commands,
): ExposedConsumer {
  const { kind, namespace, name } = consumer;
  return { kind, namespace, name, severity, message, command: commands.consumer(consumer) };
}

function verdictOf(answers: readonly Answer[]): Answer {
  const level = worst(answers.map((answer) => answer.level));
  const texts: Readonly<Record<HealthLevel, string>> = {
    good: "All is well",
    waiting: "Not known yet",
    warning: "Something needs attention",
    alarm: "Act now",
  };
  const reasons = answers.filter((answer) => answer.level === level && level !== "good");
  const detail = reasons.map(({ text }) => text).join(" ");
  return { level, text: texts[level], ...(detail && { detail }) };
}

function isWorking(state: State, meshes: readonly MeshSummary[], commands: Commands): Answer {
  const { isRunning, isLeader, isSynced, lease, settings } = state;
  if (!isRunning) {
    return {
      level: "alarm",
      text: "attaché does not watch its store: nothing is renewed.",
      command: commands.logs(),
    };
  }
  if (!isLeader) return standby(lease, commands);
  if (!isSynced) return { level: "waiting", text: "attaché reads its store for the first time." };
  const failing = [...(state.watches ?? [])].filter(
    (watch) => watch.state === "failing" || watch.state === "absent",
  );
  if (failing.length > 0) {
    const named = failing
      .slice(0, maxWatches)
      .map(({ what, error }) => what + (error ? ` (${error.code})` : ""));
    const more = failing.length > maxWatches ? ` and ${failing.length - maxWatches} more` : "";
    const text = `attaché does not see changes of ${named.join(", ")}${more}.`;
    return { level: "warning", text, command: commands.attache("doctor") };
  }
  if (settings?.refused !== undefined) {
    const text = `The new settings are refused (${settings.refused.code}); the old ones stay in force.`;
    return { level: "warning", text, command: commands.logs() };
  }
  const lost = meshes.filter(({ level }) => level === "warning");
  if (lost.length > 0) {
    const text = `attaché works, without a connection to ${lost.map(({ name }) => name).join(", ")}.`;
    return { level: "warning", text, command: commands.attache("doctor") };
  }
  const role = lease === undefined ? "" : " and leads";
  return { level: "good", text: `attaché works${role}.` };
}

function standby(lease: State["lease"], commands: Commands): Answer {
  const { holder, error } = lease ?? {};
  if (error !== undefined) {
    const text = `This replica cannot take the Lease (${error.code}).`;
    return { level: "alarm", text, command: commands.attache("doctor") };
  }
  if (holder === undefined) {
    return { level: "warning", text: "No replica leads: nothing is renewed.", command: commands.logs() };
  }
  const pod = holder.split("_")[0] ?? holder;
  const text = `This replica waits. ${pod} leads, and knows the identities.`;
  return { level: "waiting", text, command: commands.leader() };
}

function isExposed({ state, exposures }: ConsoleSource, commands: Commands): Answer {
  const { ingress } = state;
  if (exposures === undefined) return { level: "waiting", text: "Consumers in a folder are not known." };
  const command = commands.attache("status --mappings");
  const { pods } = ingress ?? {};
  if (pods !== undefined && pods.frozen > 0) {
    const [takes, them] = pods.frozen === 1 ? ["takes", "it"] : ["take", "them"];
    const text = `${count(pods.frozen, "Emissary pod")} ${takes} no configuration: rotations do not reach ${them}.`;
    return { level: "alarm", text, command: commands.attache("doctor") };
  }
  if (exposures.length > 0) {
    const bySeverity = Map.groupBy(exposures, ({ severity }) => severity);
    const parts = severities.flatMap((severity) => {
      const some = bySeverity.get(severity);
      return some === undefined ? [] : [`${some.length} ${severity}`];
    });
    return {
      level: "alarm",
      text: `${count(exposures.length, "consumer")} exposed: ${parts.join(", ")}.`,
      command,
    };
  }
  const silent = pods?.silent ?? 0;
  if (silent > 0) {
    const text = `No consumer is known to be exposed; ${count(silent, "Emissary pod")} did not answer.`;
    return { level: "warning", text, command: commands.attache("doctor") };
  }
  return { level: "good", text: "No consumer is exposed." };
}

function isCurrent({ isLeader, orphans }: State, { counts }: Tally, commands: Commands): Answer {
  const all = counts.good + counts.waiting + counts.warning + counts.alarm;
  if (all === 0 && orphans === 0) {
    const text = isLeader
      ? "There is no MeshCertificate yet."
      : "The identities are with the replica that leads.";
    return { level: isLeader ? "good" : "waiting", text };
  }
  if (orphans > 0) {
    const text = `${count(orphans, "identity")} orphaned: no attaché renews what is published.`;
    return { level: "alarm", text, command: commands.attache("status -A") };
  }
  if (counts.alarm > 0) return { level: "alarm", text: `${counts.alarm} of ${all} identities need action.` };
  if (counts.warning > 0)
    return { level: "warning", text: `${counts.warning} of ${all} identities need attention.` };
  // Between a rotation and its confirmation some always wait.
  if (counts.good === 0) return { level: "waiting", text: `${count(all, "identity")} not evaluated yet.` };
  if (counts.waiting > 0)
    return { level: "good", text: `${counts.good} of ${all} identities are current; the others wait.` };
  return {
    level: "good",
    text: all === 1 ? "The identity is current." : `All ${all} identities are current.`,
  };
}

function meshSummary({ name, connection }: Mesh, { byMesh }: Tally, history: History): MeshSummary {
  const { identities, ready } = byMesh.get(name) ?? { identities: 0, ready: 0 };
  return { name, ...healthOf(connection), identities, ready, ...history.ratesOf(name) };
}

function healthOf(connection: Mesh["connection"]): Pick<MeshSummary, "level" | "text"> {
  if (connection === undefined) return { level: "waiting", text: "No answer yet." };
  if (connection.connected) return { level: "good", text: "Connected." };
  const { problem, remedy } = connection.error;
  return { level: "warning", text: `${problem}. ${remedy}` };
}

function count(number: number, thing: string): string {
  if (number === 1) return `1 ${thing}`;
  return `${number} ${thing.endsWith("y") ? `${thing.slice(0, -1)}ies` : `${thing}s`}`;
}
