/** Items by a key that several may share. */
export class Groups<T> {
  readonly #groups = new Map<string, Set<T>>();

  get(key: string): T[] {
    return [...(this.#groups.get(key) ?? [])];
  }

  /** All items, each as often as it has keys. */
  *all(): Generator<T> {
    for (const group of this.#groups.values()) yield* group;
  }

  add(key: string, item: T): void {
    this.#groups.set(key, (this.#groups.get(key) ?? new Set()).add(item));
  }

  delete(key: string, item: T): void {
    const group = this.#groups.get(key);
    group?.delete(item);
    if (group?.size === 0) this.#groups.delete(key);
  }
}
