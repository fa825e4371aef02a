import type { Clock } from "../runtime/clock.ts";
import { type ObjectKey, objectKey, type ObjectRef } from "./backend.ts";
import { StoreError } from "./store.ts";

/** This many repairs of an object are made at once; further ones count as contention and wait. */
const freeRepairs = 3;

/** Under contention the pause before a repair doubles from the first to the longest. */
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/** A deleted object exposes traffic, so its repair waits no longer than this. */
const longestAbsenceMs = 1_000;

/** Remember at most this many competing field managers. */
const maxEditors = 4;

/** Contention ends when no repair was needed for this long. */
const resetAfterMs = 300_000;

interface Contention extends ObjectRef {
  /**
   * The competing field managers, the first one first; `undefined` stands for deletions, whose author is not
   * known.
   */
  readonly editors: readonly (string | undefined)[];
  readonly repairs: number;
  /** By `elapsedMs()`. */
  readonly lastMs: number;
}

/**
 * Spaces out repairs of objects that another client keeps changing: two controllers would load the API
 * server.
 */
export class WriteContention {
  readonly #clock: Clock;
  readonly #contentions = new Map<ObjectKey, Contention>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * To be called for each repair. @param editor the field manager that made it necessary; `undefined` after a
   * deletion.
   */
  repaired(name: ObjectRef, editor: string | undefined): void {
    const { editors = [], repairs = 0 } = this.#current(name) ?? {};
    this.#contentions.set(objectKey(name), {
      ...{ kind: name.kind, namespace: name.namespace, name: name.name },
      editors: [...new Set([...editors, editor])].slice(0, maxEditors),
      repairs: repairs + 1,
      lastMs: this.#clock.elapsedMs(),
    });
  }

  /** How long a repair of what `editor` did has to wait, in milliseconds; 0 if it is due. */
  pauseMs(name: ObjectRef, editor: string | undefined): number {
    const contention = this.#current(name);
    if (contention === undefined || contention.repairs < freeRepairs) return 0;
    const longest = editor === undefined ? longestAbsenceMs : longestPauseMs;
    const pauseMs = Math.min(longest, firstPauseMs * 2 ** (contention.repairs - freeRepairs));
    return Math.max(contention.lastMs + pauseMs - this.#clock.elapsedMs(), 0);
  }

  /**
   * Describes contention over one of `names`, in the same words until another editor joins; and when to ask
   * again.
   */
  problem(
    names: readonly ObjectRef[],
  ): { readonly error: StoreError; readonly endsInMs: number } | undefined {
    const all = names.flatMap((name) => this.#current(name) ?? []);
    const [first, ...others] = all.filter(({ repairs }) => repairs >= freeRepairs);
    if (first === undefined) return undefined;
    const lastMs = Math.max(first.lastMs, ...others.map((one) => one.lastMs));
    return { error: contended(first), endsInMs: lastMs + resetAfterMs - this.#clock.elapsedMs() };
  }

  #current(name: ObjectRef): Contention | undefined {
    const key = objectKey(name);
    const contention = this.#contentions.get(key);
    if (contention === undefined || this.#clock.elapsedMs() - contention.lastMs < resetAfterMs)
      return contention;
    this.#contentions.delete(key);
    return undefined;
  }
}

function contended({ kind, namespace, name, editors }: Contention): StoreError {
  const managers = editors.filter((editor) => editor !== undefined).map((editor) => `"${editor}"`);
  const named = managers.join(" and ");
  const causes: string[] = [];
  const remedies: string[] = [];
  if (managers.length > 0) {
    causes.push(
      managers.length > 1
        ? `the field managers ${named} keep changing`
        : `the field manager ${named} keeps changing`,
    );
    remedies.push(
      `Have ${named} leave this object alone; meanwhile attaché repairs it at growing intervals, a minute at most.`,
    );
  }
  if (managers.length < editors.length) {
    causes.push("another client keeps deleting");
    remedies.push("Find who deletes it in the API server's audit log, and have them leave it alone.");
  }
  const problem = `${causes.join(" and ")} ${kind} ${namespace}/${name}, which attaché repairs`;
  return new StoreError("ATTACHE_STORE_CONTENTION", problem, { remedy: remedies.join(" ") });
}
