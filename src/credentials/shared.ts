import { createHash } from "node:crypto";

/**
 * Values in use, by the bytes that they were read from: thousands of credentials come with copies of the same few, and
 * sharing them halves the memory of each credential.
 */
export class Shared<T extends object> {
  readonly #values = new Map<string, WeakRef<T>>();
  readonly #collected = new FinalizationRegistry<string>((digest) => {
    if (this.#values.get(digest)?.deref() === undefined) this.#values.delete(digest);
  });

  /** The one that is in use, or what `read` makes of the bytes. @param isKept whether others may have it. */
  get(bytes: Uint8Array, read: () => T, isKept: (value: T) => boolean = () => true): T {
    const digest = createHash("sha256").update(bytes).digest("hex");
    const known = this.#values.get(digest)?.deref();
    if (known !== undefined) return known;
    const value = read();
    if (isKept(value)) {
      this.#values.set(digest, new WeakRef(value));
      this.#collected.register(value, digest);
    }
    return value;
  }
}
