import type { Clock } from "../../runtime/clock.ts";
import { StoreError } from "../errors.ts";
import { type ObjectKey, objectKey, type ObjectName } from "./sighting.ts";

/** So many repairs of the same object are mishaps, whoever made them needed; what comes after them is a fight. */
const mishaps = 3;

/** In a fight the pause before a repair doubles from here on. */
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/** What is deleted exposes traffic, and so is never away for longer. */
const longestAbsenceMs = 1_000;

/** Of a crowd the rest is counted for nothing. */
const maxEditors = 4;

/** A fight is over when nothing had to be repaired for so long. */
const peaceMs = 300_000;

interface Fight extends ObjectName {
  /** The field managers of the others, the first one first; nothing stands for those who delete. */
  readonly editors: readonly (string | undefined)[];
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
    const { editors = [], repairs = 0 } = before ?? {};
    const { kind, namespace, name: own } = name;
    this.#fights.set(objectKey(name), {
      ...{ kind, namespace, name: own },
      editors: [...new Set([...editors, editor])].slice(0, maxEditors),
      repairs: repairs + 1,
      lastMs: this.#clock.now().getTime(),
    });
  }

  /** Until when a repair of what `editor` did has to wait; nothing: it is due. */
  pause(name: ObjectName, editor: string | undefined): Date | undefined {
    const fight = this.#current(name);
    if (fight === undefined || fight.repairs < mishaps) return undefined;
    const longest = editor === undefined ? longestAbsenceMs : longestPauseMs;
    const pauseMs = Math.min(longest, firstPauseMs * 2 ** (fight.repairs - mishaps));
    const until = fight.lastMs + pauseMs;
    return until > this.#clock.now().getTime() ? new Date(until) : undefined;
  }

  /** What is to be said of a fight over one of `names`, in words that stay the same while nobody joins it. */
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

function fighting({ kind, namespace, name, editors }: Fight): StoreError {
  const managers = editors.flatMap((editor) => (editor === undefined ? [] : `"${editor}"`));
  const isDeleted = managers.length < editors.length;
  const named = managers.join(" and ");
  const change =
    managers.length > 1 ? `the field managers ${named} keep` : `the field manager ${named} keeps`;
  const deeds = [
    ...(managers.length > 0 ? [`${change} changing`] : []),
    ...(isDeleted ? ["somebody keeps deleting"] : []),
  ];
  const remedies = [
    ...(managers.length > 0
      ? [
          `Have ${named} leave this object alone; meanwhile attaché repairs it at growing intervals, a minute at most.`,
        ]
      : []),
    ...(isDeleted
      ? ["Find who deletes it in the API server's audit log, and have them leave it alone."]
      : []),
  ];
  return new StoreError(
    "ATTACHE_STORE_FIGHTING",
    `${deeds.join(" and ")} ${kind} ${namespace}/${name}, which attaché repairs`,
    { remedy: remedies.join(" ") },
  );
}
