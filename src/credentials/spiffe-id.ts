import { CredentialError } from "./errors.ts";
import { printable } from "./certificate.ts";

/** A workload's name, `spiffe://<trustDomain><path>` (SPIFFE-ID, section 2). */
export interface SpiffeId {
  readonly trustDomain: string;
  /** Empty, or begins with a slash. */
  readonly path: string;
}

/**
 * Strict, as go-spiffe is: lower-case scheme and trust domain, no port, query, fragment or percent-encoding,
 * no empty, `.` or `..` segment, at most 2048 bytes. `undefined` if `text` is anything else.
 */
export function readSpiffeId(text: string): SpiffeId | undefined {
  const [, trustDomain = "", path = ""] = text.length <= 2048 ? (form.exec(text) ?? []) : [];
  const isOne = trustDomain !== "" && trustDomain.length <= 255 && !path.split("/").some(isDots);
  return isOne ? { trustDomain, path } : undefined;
}

/** As {@link readSpiffeId}. @throws CredentialError if `text` is no SPIFFE ID. */
export function parseSpiffeId(text: string): SpiffeId {
  const id = readSpiffeId(text);
  if (id === undefined) throw new CredentialError(`"${printable(text)}" is not a SPIFFE ID`, { remedy });
  return id;
}

/** SPIFFE IDs of one shape; a regular expression is one too. */
export interface SpiffeIdPattern {
  test(spiffeId: string): boolean;
  /** As it was written, for messages. */
  toString(): string;
}

/**
 * A SPIFFE ID in which `*` stands for any characters but a slash, and `**` as the last segment for one or more
 * segments: `spiffe://*.consul/ns/default/dc/*\/svc/web`, `spiffe://example.org/**`, `spiffe://**` for all.
 * @throws CredentialError if no SPIFFE ID could match.
 */
export function parseSpiffeIdPattern(text: string): SpiffeIdPattern {
  const isOpen = text.endsWith("/**");
  const stem = isOpen ? text.slice(0, -1) : text;
  if (stem.includes("**")) {
    throw new CredentialError(`"${printable(text)}" has a "**" that is not the last segment`, {
      remedy: "Write * for a part of one segment, and ** for all further segments.",
    });
  }
  if (readSpiffeId(stem.replaceAll("*", "x")) === undefined) {
    throw new CredentialError(`"${printable(text)}" is not a pattern of SPIFFE IDs`, { remedy });
  }
  const patterns = stem.split("/");
  return {
    test: (spiffeId) => {
      const segments = spiffeId.split("/");
      if (isOpen ? segments.length < patterns.length : segments.length !== patterns.length) return false;
      return patterns.every((pattern, index) => segmentMatches(segments[index] ?? "", pattern));
    },
    toString: () => text,
  };
}

const remedy =
  "A SPIFFE ID reads spiffe://trust.domain/path of letters, digits, dots, dashes and underscores.";

const form = /^spiffe:\/\/([a-z0-9._-]+)((?:\/[A-Za-z0-9._-]+)*)$/;

function isDots(segment: string): boolean {
  return segment === "." || segment === "..";
}

/** No regular expression: its time could grow with a power of the length of an ID that a mesh chooses. */
function segmentMatches(segment: string, pattern: string): boolean {
  const [head = "", ...rest] = pattern.split("*");
  const tail = rest.pop();
  if (tail === undefined) return segment === head;
  const end = segment.length - tail.length;
  let at = segment.startsWith(head) && segment.endsWith(tail) ? head.length : Infinity;
  for (const part of rest) {
    const found = segment.indexOf(part, at);
    at = found < 0 ? Infinity : found + part.length;
  }
  return at <= end;
}
