import { type ApiObject, keyOf } from "./object.ts";

/** What happened to one object: without `before` it came, without `after` it went. */
export interface Change<T> {
  readonly key: string;
  readonly before?: T;
  readonly after?: T;
}

export interface CollectionOptions<T> {
  /** What is kept of an object; `undefined`: nothing, as if it did not exist. */
  readonly reduce: (object: ApiObject) => T | undefined;
  /** Told after {@link Collection.items} has changed. */
  readonly changed: (change: Change<T>) => void;
}

interface Seen {
  readonly uid: string;
  readonly version: string;
  /** The list in which, or since which, it was seen. */
  readonly round: number;
}

/** The objects that there are, each reduced on arrival, and what changes about them. */
export class Collection<T> {
  readonly #options: CollectionOptions<T>;
  readonly #items = new Map<string, T>();
  /** Also of objects of which nothing is kept. */
  readonly #seen = new Map<string, Seen>();
  #round = 0;

  constructor(options: CollectionOptions<T>) {
    this.#options = options;
  }

  get items(): ReadonlyMap<string, T> {
    return this.#items;
  }

  /** A list of all there is begins: what was seen before must be seen again until {@link listed}. */
  listing(): void {
    this.#round += 1;
  }

  /** The list is complete: what was not in it is gone. */
  listed(): void {
    for (const [key, { round }] of this.#seen) if (round < this.#round) this.remove(key);
  }

  /** Costs nothing when this version of it is known. */
  put(object: ApiObject): void {
    const { uid, resourceVersion: version } = object.metadata;
    const key = keyOf(object.metadata);
    const seen = this.#seen.get(key);
    // Deleted and made again while nobody looked: another object.
    if (seen !== undefined && seen.uid !== uid) this.remove(key);
    this.#seen.set(key, { uid, version, round: this.#round });
    if (seen?.uid === uid && seen.version === version) return;
    this.#set(key, this.#options.reduce(object));
  }

  remove(key: string): void {
    this.#seen.delete(key);
    this.#set(key, undefined);
  }

  #set(key: string, after: T | undefined): void {
    const before = this.#items.get(key);
    if (before === undefined && after === undefined) return;
    if (after === undefined) this.#items.delete(key);
    else this.#items.set(key, after);
    this.#options.changed({
      key,
      ...(before !== undefined && { before }),
      ...(after !== undefined && { after }),
    });
  }
}
