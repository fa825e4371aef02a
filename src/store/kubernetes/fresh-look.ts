/**
 * A look that costs something, shared by all who ask at about the same time: one is under way at a time, and each is
 * answered by one that began after he asked.
 */
export class FreshLook<T> {
  readonly #look: () => Promise<T>;
  #underWay: Promise<unknown> | undefined;
  #next: Promise<T> | undefined;

  constructor(look: () => Promise<T>) {
    this.#look = look;
  }

  now(): Promise<T> {
    if (this.#underWay === undefined) return this.#begin();
    this.#next ??= this.#underWay.then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  #begin(): Promise<T> {
    const look = this.#look();
    this.#underWay = look.then(
      () => this.#over(),
      () => this.#over(),
    );
    return look;
  }

  #over(): void {
    this.#underWay = undefined;
  }
}
