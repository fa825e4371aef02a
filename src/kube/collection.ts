import { isDeepStrictEqual } from "node:util";
import { type ApiObject, keyOf } from "./object.ts";

/** What happened to one object: without `before` it was added, without `after` it was deleted. */
export interface Change<T> {
  readonly key: string;
  readonly before?: T;
  readonly after?: T;
}

/** As the options of an informer have them. */
interface CollectionOptions<T> {
  /** What is kept of an object; a promise for what takes long, and the next object waits for it. */
  readonly reduce: (object: ApiObject) => T | undefined | Promise<T | undefined>;
  readonly observed: () => void;
  /** Called after {@link Collection.items} has changed. */
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

  /** A list of all objects begins: what was seen before must be seen again until {@link listed}. */
  listing(): void {
    this.#round += 1;
  }

  /** The list is complete: what was not in it is gone. */
  listed(): void {
    for (const [key, { round }] of this.#seen) if (round < this.#round) this.remove(key);
  }

  /** Costs nothing when this version of it is known. Waits where {@link CollectionOptions.reduce} does. */
  put(object: ApiObject): Promise<void> | undefined {
    const { uid, resourceVersion: version } = object.metadata;
    const key = keyOf(object.metadata);
    const seen = this.#seen.get(key);
    // Deleted and made again unseen: another object.
    if (seen !== undefined && seen.uid !== uid) this.remove(key);
    this.#seen.set(key, { uid, version, round: this.#round });
    if (seen?.uid === uid && seen.version === version) return undefined;
    this.#options.observed();
    const reduced = this.#options.reduce(object);
    if (reduced instanceof Promise) return reduced.then((value) => this.#set(key, value));
    this.#set(key, reduced);
    return undefined;
  }

  remove(key: string): void {
    if (!this.#seen.delete(key)) return;
    this.#options.observed();
    this.#set(key, undefined);
  }

  #set(key: string, after: T | undefined): void {
    const before = this.#items.get(key);
    if (isDeepStrictEqual(before, after)) return;
    if (after === undefined) this.#items.delete(key);
    else this.#items.set(key, after);
    this.#options.changed({
      key,
      ...(before !== undefined && { before }),
      ...(after !== undefined && { after }),
    });
  }
}
