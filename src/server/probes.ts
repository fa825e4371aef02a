import {
  isReady,
  type IdentityState,
  type LeaseState,
  type MeshState,
  type SettingsState,
  type State,
  type WatchState,
} from "../telemetry/state.ts";

/** The result of a probe: `[+]` holds, `[-]` is a reason to fail, `[!]` is information only. */
export interface Finding {
  readonly passes: boolean;
  readonly lines: readonly string[];
}

/** Whether the process works at all. If not, only a restart helps. */
export function liveness({ isRunning }: State): Finding {
  return verdict("livez", [{ holds: true, says: "event loop: answers" }, followed(isRunning)], []);
}

/**
 * Whether attaché has taken its work up: the store is followed, and each identity that was there at the start
 * has been looked at once. Once it was ready it stays so as long as it runs (`wasReady`): an identity that
 * comes later, one that is not ready and an unreachable mesh are only reported. What is published stays good
 * meanwhile, no request is routed by this answer, and a rollout that waits for a mesh would only keep the old
 * process. A replica that waits for its turn is ready once it has read the store.
 */
export function readiness(
  { isLeader, lease, isRunning, isSynced, watches = [], meshes, identities, settings }: State,
  wasReady: boolean,
): Finding {
  const all = [...identities];
  const undecided = all.filter(({ status }) => status === undefined).length;
  const decided = {
    holds: wasReady || undecided === 0,
    says: `identities: ${all.length - undecided} of ${all.length} evaluated`,
  };
  const synced = { holds: isSynced, says: isSynced ? "store: read" : "store: not read completely yet" };
  const notes = [
    ...settingsNote(settings),
    ...(isLeader ? [] : [`standby: ${lease?.holder ?? "no replica yet"} leads`]),
    ...bounded([...watches].flatMap(watchNote), "more kinds are not watched; see the log"),
    ...[...meshes].flatMap(meshNote),
    ...bounded(
      all.filter((identity) => !isReady(identity)).map(identityNote),
      "more identities are not ready; see attache status",
    ),
  ];
  return verdict("readyz", [followed(isRunning), synced, decided, ...elected(lease, wasReady)], notes);
}

interface Check {
  readonly holds: boolean;
  readonly says: string;
}

function verdict(probe: string, checks: readonly Check[], notes: readonly string[]): Finding {
  const passes = checks.every(({ holds }) => holds);
  return {
    passes,
    lines: [
      ...checks.map(({ holds, says }) => `[${holds ? "+" : "-"}] ${says}`),
      ...notes.map((note) => `[!] ${note}`),
      `${probe} ${passes ? "passed" : "failed"}`,
    ],
  };
}

function followed(isRunning: boolean): Check {
  return { holds: isRunning, says: isRunning ? "store: watched" : "store: not watched" };
}

/** Without this check, a rollout could replace the last replica that can lead by replicas that cannot. */
function elected(lease: LeaseState | undefined, wasReady: boolean): Check[] {
  if (lease === undefined) return [];
  const { holder, error } = lease;
  const says = error === undefined ? `lease: held by ${holder ?? "no replica"}` : `lease: ${error.code}`;
  return [{ holds: wasReady || (error === undefined && holder !== undefined), says }];
}

/** Not why they were refused: the message may quote them, and the port has no authentication. */
function settingsNote(settings: SettingsState | undefined): string[] {
  if (settings === undefined) return [];
  const { digest, since, refused } = settings;
  const inForce = `settings: sha256:${digest} in force since ${since.toISOString()}`;
  if (refused === undefined) return [inForce];
  return [
    `settings: refused at ${refused.at.toISOString()}, ${refused.code}; the old ones stay in force`,
    inForce,
  ];
}

function watchNote({ what, state, forMs, error }: WatchState): string[] {
  if (state === "synced" || state === "listing") return [];
  const reason = error === undefined ? "" : `, ${error.code}`;
  return [`watch of ${what}: ${state} for ${Math.floor(forMs / 1000)} s${reason}`];
}

function meshNote({ name, connection }: MeshState): string[] {
  if (connection === undefined) return [`mesh ${name}: no response yet`];
  return connection.connected ? [] : [`mesh ${name}: disconnected, ${connection.error.code}`];
}

/** Reasons without messages: the port has no authentication, and `attache status` shows the messages. */
function identityNote({ namespace, name, status }: IdentityState): string {
  const problems = (status?.conditions ?? []).filter((condition) => condition.status !== "True");
  const reasons = problems.map(
    (condition) => `${condition.type} is ${condition.status} (${condition.reason})`,
  );
  return `identity ${namespace}/${name}: ${reasons.join(", ") || "not evaluated yet"}`;
}

const maxNotes = 20;

function bounded(notes: readonly string[], rest: string): string[] {
  const more = notes.length - maxNotes;
  return more > 0 ? [...notes.slice(0, maxNotes), `${more} ${rest}`] : [...notes];
}
