import { keyOf, meshOf, type IdentityKey } from "../api/mesh-certificate.ts";
import { conditionOf, type Status } from "../api/status.ts";
import type { Clock } from "../runtime/clock.ts";
import { inSlices, maybeYield } from "../runtime/time-slice.ts";
import type { Commands } from "./commands.ts";
import { maxCauses, type Tally } from "./overview.ts";
import type { Cause, IdentityRow, HealthLevel } from "./page-data.ts";
import { type IdentityProblem, problemsOf, type SharedProblem, sharingProblems, worst } from "./problems.ts";
import type { ConsoleIdentity, ConsoleSource } from "./source.ts";

/** What was found of one identity: its status, and since which revision. No copy of the row is kept. */
interface Entry {
  readonly identity: ConsoleIdentity;
  readonly status: Status | undefined;
  readonly mesh: string;
  readonly problems: readonly IdentityProblem[];
  readonly level: HealthLevel;
  readonly revision: number;
  /** When the level changes by itself, in milliseconds since 1970. */
  readonly endsAt: number;
}

/** Names of identities beside a cause. */
const maxNamed = 5;

/** Removals that are remembered; a page that missed more reads everything again. */
const maxRemoved = 1_000;

/**
 * The identities at the last {@link refresh}, and what has changed since an earlier one. An identity whose
 * status is the same object as before costs one comparison.
 */
export class Snapshots {
  readonly #source: ConsoleSource;
  readonly #clock: Clock;
  /** Differs in each process, whose revisions all begin at 0. */
  readonly #epoch: string;
  #entries = new Map<IdentityKey, Entry>();
  #removed: { readonly key: IdentityKey; readonly revision: number }[] = [];
  /** From which revision on the changes are known. */
  #since = 0;
  #revision = 0;

  constructor(source: ConsoleSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
    this.#epoch = clock.random().toString(36).slice(2, 10);
  }

  get version(): string {
    return `${this.#epoch}.${this.#revision}`;
  }

  /** Looks at all identities. One at a time. */
  async refresh(): Promise<void> {
    const now = this.#clock.now();
    const revision = this.#revision + 1;
    const next = new Map<IdentityKey, Entry>();
    let hasChanged = false;
    for (const one of this.#source.identities) {
      const key = keyOf(one.identity);
      const before = this.#entries.get(key);
      const status = one.hasLooked ? one.status : undefined;
      const isSame = before?.status === status && before?.identity === one && now.getTime() < before.endsAt;
      hasChanged ||= !isSame;
      next.set(key, isSame ? before : entryOf(one, status, revision, now));
      await maybeYield();
    }
    for (const key of this.#entries.keys()) {
      if (next.has(key)) continue;
      hasChanged = true;
      this.#removed.push({ key, revision });
    }
    this.#entries = next;
    if (!hasChanged) return;
    this.#revision = revision;
    const surplus = this.#removed.splice(0, Math.max(0, this.#removed.length - maxRemoved));
    this.#since = Math.max(this.#since, surplus.at(-1)?.revision ?? 0);
  }

  /** Forgets everything but the number of the revision, while nothing reads. */
  clear(): void {
    this.#entries.clear();
    this.#removed = [];
    this.#since = this.#revision + 1;
  }

  find(key: string): Entry | undefined {
    return this.#entries.get(key as IdentityKey);
  }

  /** The JSON of {@link IdentityChanges}, in pieces; what changes meanwhile comes with the next version. */
  async *changes(version: string | undefined): AsyncGenerator<string> {
    const since = this.#revisionOf(version);
    const isComplete = since === undefined;
    const entries = [...this.#entries.values()].filter(({ revision }) => isComplete || revision > since);
    const removed = isComplete ? [] : this.#removed.filter(({ revision }) => revision > since);
    const head = { version: this.version, isComplete, removed: removed.map(({ key }) => key) };
    yield `${JSON.stringify(head).slice(0, -1)},"rows":[`;
    let piece: string[] = [];
    for (const [index, entry] of entries.entries()) {
      piece.push((index === 0 ? "" : ",") + JSON.stringify(rowOf(entry)));
      if (piece.length < rowsInPiece) continue;
      yield piece.join("");
      piece = [];
      await maybeYield();
    }
    yield `${piece.join("")}]}`;
  }

  async tally(commands: Commands): Promise<Tally> {
    const entries = this.#entries;
    const counts = { good: 0, waiting: 0, warning: 0, alarm: 0 };
    const byMesh = new Map<string, { identities: number; ready: number }>();
    for (const { level, mesh, status } of entries.values()) {
      await maybeYield();
      counts[level] += 1;
      const ofMesh = byMesh.get(mesh) ?? { identities: 0, ready: 0 };
      ofMesh.identities += 1;
      if (conditionOf(status, "Ready")?.status === "True") ofMesh.ready += 1;
      byMesh.set(mesh, ofMesh);
    }
    // What is only awaited is no cause of anything.
    const shared = await inSlices(sharingProblems(entries.values()));
    const causes = shared.filter(({ level }) => level !== "waiting");
    return {
      ...{ counts, byMesh },
      causes: causes.slice(0, maxCauses).map((found) => causeOf(found, commands)),
      moreCauses: Math.max(0, causes.length - maxCauses),
    };
  }

  #revisionOf(version: string | undefined): number | undefined {
    const [epoch, text] = version?.split(".") ?? [];
    const revision = Number(text);
    const isKnown = epoch === this.#epoch && revision >= this.#since && revision <= this.#revision;
    return isKnown ? revision : undefined;
  }
}

const rowsInPiece = 200;

function causeOf(
  { level, type, reason, message, mesh, having }: SharedProblem<Entry>,
  commands: Commands,
): Cause {
  const count = having.length;
  const { namespace = "", name = "" } = having[0]?.identity.identity.metadata ?? {};
  const command =
    type === "SourceReady" && count > 1 ? commands.attache("doctor") : commands.identity(namespace, name);
  const identities = having.slice(0, maxNamed).map(({ identity }) => keyOf(identity.identity));
  return { level, type, reason, mesh, message, count, identities, command };
}

function entryOf(identity: ConsoleIdentity, status: Status | undefined, revision: number, now: Date): Entry {
  const problems = problemsOf(identity.identity, status, now);
  const level = worst(problems.map((problem) => problem.level));
  const end = Date.parse(status?.notAfter ?? "");
  const mesh = meshOf(identity.identity);
  return { identity, status, mesh, problems, level, revision, endsAt: end > now.getTime() ? end : Infinity };
}

/** Of an identity that is looked at once. */
export function rowAt(identity: ConsoleIdentity, now: Date): IdentityRow {
  return rowOf(entryOf(identity, identity.status, 0, now));
}

export function rowOf({ identity, status, mesh, problems, level }: Entry): IdentityRow {
  const { spiffeId, notBefore, renewalTime, notAfter, usedByCount = 0 } = status ?? {};
  const reason = problems.find((problem) => problem.level === level)?.reason;
  return {
    key: keyOf(identity.identity),
    ...{ mesh, level, consumers: usedByCount },
    ...(reason !== undefined && { reason }),
    ...(spiffeId !== undefined && { spiffeId }),
    ...(notBefore !== undefined && { notBefore: seconds(notBefore) }),
    ...(renewalTime !== undefined && { renewal: seconds(renewalTime) }),
    ...(notAfter !== undefined && { notAfter: seconds(notAfter) }),
  };
}

function seconds(time: string): number {
  return Math.floor(Date.parse(time) / 1_000);
}
