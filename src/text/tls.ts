import { isIP } from "node:net";

/**
 * OpenSSL's verification results, which Node passes on by name, its own TLS errors, and alerts of the peer.
 */
export function isTlsCode(code: string): boolean {
  return (
    /^(?:ERR_TLS_|ERR_SSL_|UNABLE_TO_|CERT_|CRL_|ERROR_IN_CERT|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|PATH_LENGTH_)/.test(
      code,
    ) || ["EPROTO", "HOSTNAME_MISMATCH"].includes(code)
  );
}

/**
 * The server name for the TLS handshake with `host`: without brackets, and without the dot at the end of an
 * absolute name (RFC 6066, section 3); `undefined` for an IP address, which cannot stand there.
 */
export function sniOf(host: string): string | undefined {
  const name = host.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
  return name === "" || isIP(name) !== 0 ? undefined : name;
}
