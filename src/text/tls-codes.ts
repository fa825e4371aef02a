/** OpenSSL's verification results, which Node passes on by name, its own TLS errors, and alerts of the peer. */
export function isTlsCode(code: string): boolean {
  return (
    /^(?:ERR_TLS_|ERR_SSL_|UNABLE_TO_|CERT_|CRL_|ERROR_IN_CERT|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|PATH_LENGTH_)/.test(
      code,
    ) || ["EPROTO", "HOSTNAME_MISMATCH"].includes(code)
  );
}
