/** A TLSContext, anybody's, as far as it matters to who uses it. */
export interface TlsContext {
  readonly namespace: string;
  readonly name: string;
  readonly ambassadorIds: readonly string[];
  /** Without it, no client certificate is presented. */
  readonly secret: string | undefined;
  /** Without it, the upstream's certificate is not verified. */
  readonly caSecret: string | undefined;
}
