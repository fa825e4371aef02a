import { stripVTControlCharacters } from "node:util";
import { beginning, removed, withoutTokens } from "./without-tokens.ts";

const maxLength = 300;

/** A peer chooses the length of its text: the rest is not even searched for secrets. */
const maxRead = 12_000;

export interface PeerTextOptions {
  /** Tokens and CSRs that were sent to the peer and must not come back. */
  readonly secrets?: readonly string[];
}

/**
 * Text of a peer (an error's message, a body) as it may be shown in logs, statuses and terminals: one line of
 * at most 300 characters, without control and invisible characters, `secrets`, and what looks like a token or
 * key.
 */
export function sanitizePeerText(text: string, { secrets = [] }: PeerTextOptions = {}): string {
  const line = withoutTokens(withoutSecrets(oneLine(beginning(text, maxRead)), secrets)).trim();
  return line.length <= maxLength ? line : `${line.slice(0, maxLength - 1).toWellFormed()}…`;
}

/** Bidirectional and zero-width characters go too: they make a terminal show another text than there is. */
function oneLine(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\p{Cf}\p{Cs}]+/gu, "")
    .replace(/[\p{Cc}\s]+/gu, " ");
}

/** A peer may write what it was sent in capitals. */
function anyCase(secret: string): RegExp {
  return new RegExp(secret.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "gi");
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets
    .map((secret) => oneLine(secret).trim())
    .filter((secret) => secret !== "")
    .reduce((left, secret) => left.replace(anyCase(secret), removed), text);
}
