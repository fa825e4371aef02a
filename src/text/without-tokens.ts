/** Stands where a secret was. */
export const removed = "[removed]";

/**
 * `text` without what looks like a private key or a token, from any source. A caller must itself remove a
 * secret that looks like anything else (a Consul token is a UUID).
 */
export function withoutTokens(text: string): string {
  return (
    text
      // A private key in PEM, also one that is cut off.
      .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/gs, removed)
      // A JWT (RFC 7519), whole or cut: its header begins with `{"`, which is `eyJ` in base64url.
      .replace(/\beyJ[\w-]{8,}(?:\.[\w-]*)*/g, removed)
      .replace(/(?<=\bbearer\s)[\w.~+/=-]{16,}/gi, removed)
      .replace(
        /(?<=\b(?:token|secret_?id|authorization|password)\\?["']?\s?[:=]\s?\\?["']?)[^\s"'\\,;&]{16,}/gi,
        removed,
      )
      // https://name:password@host
      .replace(/(?<=:\/\/[^\s/@:]*:)[^\s/@]+(?=@)/g, removed)
      .replace(/[A-Za-z0-9+/_-]{40,}=*/g, (run) => (isRandom(run) ? removed : run))
  );
}

/**
 * The first `length` characters, but for a word that this cut goes through: half of a secret would not be
 * recognised. For bounding the work that a hostile text makes.
 */
export function beginning(text: string, length: number): string {
  return text.length <= length ? text : (/^.*\s/s.exec(text.slice(0, length))?.[0] ?? "");
}

/**
 * Base64 of random bytes changes between capitals, small letters and digits at every second character; paths,
 * names and SPIFFE IDs seldom do, and a fingerprint has no capitals or no small letters.
 */
function isRandom(run: string): boolean {
  if (!(/[A-Z]/.test(run) && /[a-z]/.test(run) && /\d/.test(run))) return false;
  const changes = run.match(/(?<=[A-Z])[a-z\d]|(?<=[a-z])[A-Z\d]|(?<=\d)[A-Za-z]/g) ?? [];
  return changes.length * 4 >= run.length;
}
