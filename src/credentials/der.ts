/**
 * A reader of DER (X.690, section 10) that accepts nothing else: minimal definite lengths, tag numbers below
 * 31. OpenSSL, and so Node's `X509Certificate`, also accepts some BER, which BoringSSL and Go refuse.
 */
export class DerReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The tag of the next element; `undefined` at the end. */
  get tag(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The next element, whatever it is. @throws DerError */
  next(): Element {
    const bytes = this.#bytes;
    const begin = this.#at;
    const tag = bytes[begin] ?? 0;
    const first = bytes[begin + 1] ?? 0;
    if ((tag & 0x1f) === 0x1f) throw new DerError("a tag number above 30");
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    const start = begin + 2 + lengthBytes;
    if (lengthBytes > 4 || start > bytes.length) throw new DerError("a length that is cut or too large");
    const length = lengthBytes === 0 ? first : bytes.readUIntBE(start - lengthBytes, lengthBytes);
    const isMinimal = lengthBytes === 0 ? first < 0x80 : length >= Math.max(0x80, 256 ** (lengthBytes - 1));
    if (!isMinimal) throw new DerError("a length that is not in its shortest form");
    const end = start + length;
    if (end > bytes.length) throw new DerError("an element that is cut");
    this.#at = end;
    return { tag, body: bytes.subarray(start, end), whole: bytes.subarray(begin, end) };
  }

  /** The content of the next element, which must have this tag. @throws DerError */
  read(tag: number): Buffer {
    if (this.tag !== tag) throw new DerError(`${hex(this.tag)} where ${hex(tag)} belongs`);
    return this.next().body;
  }

  /**
   * As {@link read}, or `undefined` if the next element has another tag, or there is none. @throws DerError
   */
  optional(tag: number): Buffer | undefined {
    return this.tag === tag ? this.next().body : undefined;
  }

  /** The elements of a SEQUENCE, or of what else has this tag. @throws DerError */
  inside(tag: number = tags.sequence): DerReader {
    return new DerReader(this.read(tag));
  }

  /** @throws DerError if anything follows. */
  end(): void {
    if (!this.isAtEnd) throw new DerError("something where nothing belongs");
  }
}

export interface Element {
  readonly tag: number;
  /** The content. */
  readonly body: Buffer;
  /** Tag, length and content. */
  readonly whole: Buffer;
}

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  t61String: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  /** No DER, but BoringSSL reads it where it expects a list of things of one type. */
  primitiveSequence: 0x10,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context-specific tags: `[n]`, of a primitive or of a constructed value. */
export const context = {
  primitive: (number: number) => 0x80 | number,
  constructed: (number: number) => 0xa0 | number,
} as const;

/**
 * What is wrong with an encoding, as the middle of a sentence. Becomes a verdict, never reaches a user by
 * itself.
 */
export class DerError extends Error {}

function hex(tag: number | undefined): string {
  return tag === undefined ? "the end" : `tag 0x${tag.toString(16).padStart(2, "0")}`;
}

/** `1.3.6.1`, of the content of an OBJECT IDENTIFIER. */
export function oidText(content: Buffer): string {
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of content) {
    arc = arc * 128n + BigInt(byte & 0x7f);
    if ((byte & 0x80) !== 0) continue;
    arcs.push(arc);
    arc = 0n;
  }
  const [first = 0n, ...rest] = arcs;
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - root * 40n, ...rest].join(".");
}

/**
 * How many elements `bytes` hold, at any depth, also within OCTET STRINGs; counting stops behind `limit`.
 * Cheap, and a measure of what all readers of a certificate have to do.
 */
export function countElements(bytes: Uint8Array, limit: number): number {
  let count = 0;
  for (let at = 0; at + 1 < bytes.length && count <= limit; count += 1) {
    const [tag, first] = [bytes[at] ?? 0, bytes[at + 1] ?? 0];
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    const start = at + 2 + lengthBytes;
    let length = lengthBytes === 0 ? first : 0;
    for (let index = at + 2; index < start; index += 1) length = length * 256 + (bytes[index] ?? 0);
    const isNested = (tag & 0x20) !== 0 || (tag === tags.octetString && bytes[start] === tags.sequence);
    at = isNested ? start : start + length;
  }
  return count;
}
