/** Keeps what was made last, of a few things: most is asked for several times in a row and then for hours no more. */
export class Recent<Of extends object, Made> {
  readonly #count: number;
  /** The oldest first. */
  readonly #made = new Map<Of, Made>();

  /** @param count of how many things at most. */
  constructor(count: number) {
    this.#count = count;
  }

  /** What was made of `key`, or is made of it now. */
  of(key: Of, make: () => Made): Made {
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const made = make();
    const [oldest] = this.#made.keys();
    if (oldest !== undefined && this.#made.size === this.#count) this.#made.delete(oldest);
    this.#made.set(key, made);
    return made;
  }
}
