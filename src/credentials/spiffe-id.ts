import { CredentialError } from "./errors.ts";
import { printable } from "../text/printable.ts";
import { globMatches } from "../text/glob.ts";

/** A workload's name, `spiffe://<trustDomain><path>` (SPIFFE-ID, section 2). */
interface SpiffeId {
  readonly trustDomain: string;
  /** Empty, or begins with a slash. */
  readonly path: string;
}

/**
 * Strict, as go-spiffe is, but that the trust domain may have any case, which is kept (Istio issues it as it
 * is configured; compare
 * with {@link isSameSpiffeId}): a lower-case scheme, no port, query, fragment or percent-encoding,
 * no empty, `.` or `..` segment, at most 2048 bytes. `undefined` if `text` is anything else.
 */
export function readSpiffeId(text: string): SpiffeId | undefined {
  const [, trustDomain = "", path = ""] = text.length <= 2048 ? (form.exec(text) ?? []) : [];
  const isOne = trustDomain !== "" && trustDomain.length <= 255 && !path.split("/").some(isDots);
  return isOne ? { trustDomain, path } : undefined;
}

/**
 * As {@link readSpiffeId}, but a segment may also be escaped as Go's `url.URL` writes it, or be `.` or `..`:
 * Consul signs so for a service whose name SPIFFE has no characters for. At most 16 KiB.
 */
export function readEscapedId(text: string): SpiffeId | undefined {
  const [, trustDomain = "", path = ""] = text.length <= 16_384 ? (escapedForm.exec(text) ?? []) : [];
  return trustDomain !== "" && trustDomain.length <= 255 ? { trustDomain, path } : undefined;
}

/**
 * The identity of a leaf. What is no SPIFFE ID to the letter counts only if `expected` writes out each segment
 * that SPIFFE does not have: then no reader sees another identity in it than the one that was asked for.
 */
export function readExpectedId(uri: string, expected: string | SpiffeIdPattern = ""): SpiffeId | undefined {
  const written = expected.toString().split("/");
  const isWritten = uri
    .split("/")
    .every((segment, index) => index < 3 || isPlain(segment) || segment === written[index]);
  return readSpiffeId(uri) ?? (isWritten ? readEscapedId(uri) : undefined);
}

/**
 * One segment of a path as Go's `url.URL` writes it: UTF-8, and all escaped but letters, digits and
 * `-_.~$&+,:;=@`.
 */
export function escapeSegment(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%(?:24|26|2B|2C|3A|3B|3D|40)/g, decodeURIComponent);
}

/** Whether two SPIFFE IDs are the same: trust domains are compared without case, paths with it. */
export function isSameSpiffeId(one: string, other: string): boolean {
  return comparable(one) === comparable(other);
}

function comparable(spiffeId: string): string {
  return spiffeId.replace(/^spiffe:\/\/[^/]*/, (start) => start.toLowerCase());
}

/** SPIFFE IDs of one shape; a regular expression is one too. */
export interface SpiffeIdPattern {
  test(spiffeId: string): boolean;
  /** As it was written, for messages. */
  toString(): string;
}

/**
 * A SPIFFE ID in which `*` stands for any characters but a slash, and `**` as the last segment for one or
 * more segments: `spiffe://*.consul/ns/default/dc/*\/svc/web`, `spiffe://example.org/**`, `spiffe://**` for
 * all. Segments may be escaped as in {@link readEscapedId}.
 * @throws CredentialError if no SPIFFE ID could match.
 */
export function parseSpiffeIdPattern(text: string): SpiffeIdPattern {
  const stem = text.endsWith("/**") ? text.slice(0, -1) : text;
  if (stem.includes("**")) {
    throw new CredentialError(`"${printable(text)}" has a "**" that is not the last segment`, {
      remedy: "Write * for a part of one segment, and ** for all further segments.",
    });
  }
  if (readEscapedId(stem.replaceAll("*", "x")) === undefined) {
    throw new CredentialError(`"${printable(text)}" is not a pattern of SPIFFE IDs`, { remedy });
  }
  return new Pattern(text);
}

/** Its text and no more: there is one for each of 10,000 identities, and it is seldom asked. */
class Pattern implements SpiffeIdPattern {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  test(spiffeId: string): boolean {
    const isOpen = isOpenEnded(this);
    const text = comparable(this.#text);
    const patterns = (isOpen ? text.slice(0, -1) : text).split("/");
    const segments = comparable(spiffeId).split("/");
    if (isOpen ? segments.length < patterns.length : segments.length !== patterns.length) return false;
    return patterns.every((pattern, index) => globMatches(segments[index] ?? "", pattern));
  }

  toString(): string {
    return this.#text;
  }
}

/**
 * Whether every SPIFFE ID that fits `narrow` fits `wide`, too: a `*` of the one is covered by a `*` of the
 * other only.
 */
export function covers(wide: SpiffeIdPattern, narrow: SpiffeIdPattern): boolean {
  return (isOpenEnded(wide) || !isOpenEnded(narrow)) && wide.test(narrow.toString());
}

function isOpenEnded(pattern: SpiffeIdPattern): boolean {
  return pattern.toString().endsWith("/**");
}

const remedy =
  "A SPIFFE ID reads spiffe://trust.domain/path of letters, digits, dots, dashes and underscores. Other characters of a Consul service are escaped, as in svc/web%20app.";

const form = /^spiffe:\/\/([A-Za-z0-9._-]+)((?:\/[A-Za-z0-9._-]+)*)$/;

const escapedForm = /^spiffe:\/\/([A-Za-z0-9._-]+)((?:\/(?:[A-Za-z0-9._~$&+,:;=@-]|%[0-9A-F]{2})+)*)$/;

function isPlain(segment: string): boolean {
  return /^[A-Za-z0-9._-]+$/.test(segment) && !isDots(segment);
}

function isDots(segment: string): boolean {
  return segment === "." || segment === "..";
}
