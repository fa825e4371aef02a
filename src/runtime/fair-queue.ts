/**
 * What waits for its turn, each item once. Groups take turns: the next item is the first of the group whose
 * last turn is longest ago, so that none waits for all that another group has. Within a group it is first
 * come, first served.
 */
export class FairQueue<T> {
  readonly #groupOf: (item: T) => string;
  readonly #groups = new Map<string, Set<T>>();
  /** The number of the last turn of each group. */
  readonly #turns = new Map<string, number>();
  #turn = 0;
  #size = 0;

  /** @param groupOf must give the same for an item each time. By default all are one group. */
  constructor(groupOf: (item: T) => string = () => "") {
    this.#groupOf = groupOf;
  }

  get size(): number {
    return this.#size;
  }

  has(item: T): boolean {
    return this.#groups.get(this.#groupOf(item))?.has(item) ?? false;
  }

  add(item: T): void {
    if (this.has(item)) return;
    const group = this.#groupOf(item);
    this.#groups.set(group, (this.#groups.get(group) ?? new Set()).add(item));
    this.#size += 1;
  }

  /** Whether it was there. */
  delete(item: T): boolean {
    const group = this.#groupOf(item);
    const items = this.#groups.get(group);
    if (items?.delete(item) !== true) return false;
    if (items.size === 0) this.#groups.delete(group);
    this.#size -= 1;
    return true;
  }

  clear(): void {
    this.#groups.clear();
    this.#size = 0;
  }

  /** Takes the next item of which `isReady` is true. */
  take(isReady: (item: T) => boolean = () => true): T | undefined {
    let next: T | undefined;
    let last = Infinity;
    for (const [group, items] of this.#groups) {
      const turn = this.#turns.get(group) ?? 0;
      const first = turn < last ? items.values().find(isReady) : undefined;
      if (first !== undefined) [next, last] = [first, turn];
      if (last === 0) break;
    }
    if (next === undefined) return undefined;
    this.#turns.set(this.#groupOf(next), (this.#turn += 1));
    this.delete(next);
    return next;
  }
}
