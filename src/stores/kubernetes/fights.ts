import type { Clock } from "../../clock.ts";
import { StoreError } from "../errors.ts";
import { type ObjectKey, objectKey, type ObjectName } from "./sighting.ts";

/** So many repairs of the same object against the same other are mishaps; what comes after them is a fight. */
const mishaps = 3;

/** In a fight the pause before a repair doubles from here on. */
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/** What is deleted exposes traffic, and so is never away for longer. */
const longestAbsenceMs = 1_000;

/** A fight is over when nothing had to be repaired for so long. */
const peaceMs = 300_000;

interface Fight extends ObjectName {
  /** The field manager of the other; nothing: somebody who deletes. */
  readonly editor: string | undefined;
  readonly repairs: number;
  readonly lastMs: number;
}

/** Who keeps undoing what we publish, and how long to leave it to them: two controllers that never yield cost everybody. */
export class Fights {
  readonly #clock: Clock;
  readonly #fights = new Map<ObjectKey, Fight>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be called for each repair. */
  repaired(name: ObjectName, editor: string | undefined): void {
    const before = this.#current(name);
    const repairs = before?.editor === editor ? (before?.repairs ?? 0) + 1 : 1;
    const { kind, namespace, name: own } = name;
    const lastMs = this.#clock.now().getTime();
    this.#fights.set(objectKey(name), { kind, namespace, name: own, editor, repairs, lastMs });
  }

  /** Until when a repair against `editor` has to wait; nothing: it is due. */
  pause(name: ObjectName, editor: string | undefined): Date | undefined {
    const fight = this.#current(name);
    if (fight === undefined || fight.editor !== editor || fight.repairs < mishaps) return undefined;
    const longest = editor === undefined ? longestAbsenceMs : longestPauseMs;
    const pauseMs = Math.min(longest, firstPauseMs * 2 ** (fight.repairs - mishaps));
    const until = fight.lastMs + pauseMs;
    return until > this.#clock.now().getTime() ? new Date(until) : undefined;
  }

  /** What is to be said of a fight over one of `names`, in words that stay the same while it lasts. */
  problem(names: readonly ObjectName[]): StoreError | undefined {
    const fight = names
      .map((name) => this.#current(name))
      .find((one) => one !== undefined && one.repairs >= mishaps);
    return fight && fighting(fight);
  }

  /** When the fights over `names` are over unless they go on. */
  peace(names: readonly ObjectName[]): Date | undefined {
    const ends = names.flatMap((name) => {
      const fight = this.#current(name);
      return fight !== undefined && fight.repairs >= mishaps ? [fight.lastMs + peaceMs] : [];
    });
    return ends.length === 0 ? undefined : new Date(Math.max(...ends));
  }

  #current(name: ObjectName): Fight | undefined {
    const key = objectKey(name);
    const fight = this.#fights.get(key);
    if (fight === undefined || this.#clock.now().getTime() - fight.lastMs < peaceMs) return fight;
    this.#fights.delete(key);
    return undefined;
  }
}

function fighting({ kind, namespace, name, editor }: Fight): StoreError {
  const who =
    editor === undefined ? "somebody keeps deleting" : `the field manager "${editor}" keeps changing`;
  return new StoreError(
    "ATTACHE_STORE_FIGHTING",
    `${who} ${kind} ${namespace}/${name}, which attaché repairs`,
    {
      remedy:
        editor === undefined
          ? "Find who deletes it in the API server's audit log, and have them leave it alone."
          : `Have "${editor}" leave this object alone; meanwhile attaché repairs it at growing intervals, a minute at most.`,
    },
  );
}
