import { stripVTControlCharacters } from "node:util";

const maxLength = 300;

/** A peer chooses the length of its text: what is this far behind the cut is not even looked at. */
const maxRead = 12_000;

const removed = "[removed]";

export interface PeerTextOptions {
  /** What was sent to the peer and must not come back: tokens, CSRs. */
  readonly secrets?: readonly string[];
}

/**
 * Text of a peer (an error's message, a body) as it may be shown in logs, statuses and terminals: one line of at
 * most 300 characters, without control and invisible characters, `secrets`, and what looks like a token or key.
 */
export function peerText(text: string, { secrets = [] }: PeerTextOptions = {}): string {
  const line = withoutTokens(withoutSecrets(oneLine(beginning(text)), secrets)).trim();
  return line.length <= maxLength ? line : `${line.slice(0, maxLength - 1).toWellFormed()}…`;
}

/** Ends before a word that the cut goes through: half of a secret would not be recognised. */
function beginning(text: string): string {
  return text.length <= maxRead ? text : (/^.*\s/s.exec(text.slice(0, maxRead))?.[0] ?? "");
}

/** Bidirectional and zero-width characters go too: they make a terminal show another text than there is. */
function oneLine(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\p{Cf}\p{Cs}]+/gu, "")
    .replace(/[\p{Cc}\s]+/gu, " ");
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets
    .map((secret) => oneLine(secret).trim())
    .filter((secret) => secret !== "")
    .reduce((left, secret) => left.replaceAll(secret, removed), text);
}

function withoutTokens(line: string): string {
  return (
    line
      // A private key in PEM, also one that is cut off.
      .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, removed)
      // A JWT (RFC 7519), whole or cut: its header begins with `{"`, which is `eyJ` in base64url.
      .replace(/\beyJ[\w-]{8,}(?:\.[\w-]*)*/g, removed)
      .replace(/(?<=\bbearer )[\w.~+/=-]{16,}/gi, removed)
      .replace(/(?<=\b(?:token|secret_?id|authorization)["']? ?[:=] ?["']?)[^ "',;&]{16,}/gi, removed)
      .replace(/[A-Za-z0-9+/_-]{48,}=*/g, (run) => (isProse(run) ? run : removed))
  );
}

/** Paths, SPIFFE IDs and fingerprints have no capitals, or no digits; 36 bytes of randomness have all three. */
function isProse(run: string): boolean {
  return !(/[A-Z]/.test(run) && /[a-z]/.test(run) && /\d/.test(run));
}
