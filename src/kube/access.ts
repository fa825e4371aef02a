/** How an API server is reached, and as whom. */
export interface Access {
  /** `https://10.0.0.1:443`, without a slash at the end. */
  readonly server: string;
  /** The pod's own, or that of the kubeconfig's context. */
  readonly namespace: string;
  readonly proxyUrl?: string | undefined;
  /**
   * With what the next request authenticates. Files and plug-ins are asked again when they may have something new.
   * @throws ApiError `ATTACHE_KUBERNETES_CONFIG`
   */
  authenticate(): Promise<Authentication>;
  /** The API server did not accept what {@link authenticate} gave last: it is not to give the same from memory. */
  refused(): void;
}

export interface Authentication {
  readonly tls: Tls;
  /** Secret: `Authorization` is among them. */
  readonly headers: Readonly<Record<string, string | string[]>>;
}

/** In the words of `tls.connect`. */
export interface Tls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
  readonly rejectUnauthorized?: boolean;
}
