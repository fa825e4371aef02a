import { DerError, DerReader, type Element, tags } from "./der.ts";

/** One attribute of a Name (RFC 5280, section 4.1.2.4). */
export interface Attribute {
  /** The hex of the OID's content. */
  readonly id: string;
  /** For comparison: without case, each run of blanks as one, none at the ends. */
  readonly text: string;
  /** In which part of the name it stands. */
  readonly part: number;
}

/** @param name the SEQUENCE of a Name. @throws DerError */
export function attributesOf(name: Buffer): Attribute[] {
  const attributes: Attribute[] = [];
  const parts = new DerReader(name).inside();
  for (let part = 0; !parts.isAtEnd; part += 1) {
    for (const values = parts.inside(tags.set); !values.isAtEnd;) {
      const attribute = values.inside();
      const id = attribute.read(tags.oid).toString("hex");
      attributes.push({ id, text: comparable(attribute.next()), part });
    }
  }
  return attributes;
}

/**
 * Two names are the same for BoringSSL and OpenSSL if this is: they compare text without case and type.
 * `undefined` for a name that is no DER.
 */
export function canonicalName(name: Buffer): string | undefined {
  try {
    return attributesOf(name)
      .map(({ id, text, part }) => `${part}:${id}=${JSON.stringify(text)}`)
      .join(",");
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

function comparable({ tag, body }: Element): string {
  const text = (decoders.get(tag) ?? asUtf8)(body);
  return text
    .replace(/^[ \t-\r]+|[ \t-\r]+$/g, "")
    .replace(/[ \t-\r]+/g, " ")
    .replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

const asUtf8 = (body: Buffer) => body.toString("utf8");

const decoders: ReadonlyMap<number, (body: Buffer) => string> = new Map([
  [tags.t61String, (body: Buffer) => body.toString("latin1")],
  [
    tags.bmpString,
    (body) => (body.length % 2 === 0 ? Buffer.from(body).swap16().toString("utf16le") : asUtf8(body)),
  ],
]);
