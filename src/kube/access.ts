import { readFile } from "node:fs/promises";
import type { Clock } from "../runtime/clock.ts";
import { ApiError } from "./api-error.ts";

/** How an API server is reached, and as whom. */
export interface Access {
  /** `https://10.0.0.1:443`, without a slash at the end. */
  readonly server: string;
  /** The pod's own, or that of the kubeconfig's context. */
  readonly namespace: string;
  readonly proxyUrl?: string | undefined;
  /**
   * The authentication of the next request. Reads files and runs plug-ins again when they may have changed.
   * @throws ApiError `ATTACHE_KUBERNETES_CONFIG`
   */
  authenticate(): Promise<Authentication>;
  /**
   * The API server rejected the last result of {@link authenticate}, which must not return it from memory.
   */
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

/** An API server, and the credentials for it, from a kubeconfig or a pod. */
export interface Principal {
  readonly server: string;
  readonly namespace: string;
  readonly proxyUrl?: string | undefined;
  readonly serverName?: string | undefined;
  readonly insecureSkipTlsVerify?: boolean | undefined;
  readonly ca?: Material | undefined;
  readonly cert?: Material | undefined;
  readonly key?: Material | undefined;
  readonly token?: Material | undefined;
  /** Asked for what is not given here. */
  readonly plugin?: CredentialPlugin | undefined;
  /** `Impersonate-…`, or `Authorization` of the basic kind. */
  readonly headers?: Readonly<Record<string, string | string[]>>;
}

/** A credential as text, or the file that has it, which is read again as it rotates. */
export type Material =
  | { readonly text: string }
  /** `fallback`: where the file cannot be read. */
  | { readonly file: string; readonly fallback?: string | null | undefined };

/** A program that gives credentials. */
export interface CredentialPlugin {
  /** Its last credentials while they are valid, else new ones. @throws ApiError */
  run(): Promise<Readonly<Partial<Record<"token" | "cert" | "key", string | null | undefined>>>>;
  /** The API server rejected its credentials. */
  forget(): void;
}

/** Files are read again after this long; the kubelet renews a token when a fifth of its life is left. */
const rereadMs = 10_000;

export function accessOf(principal: Principal, clock: Clock): Access {
  const { server, namespace, proxyUrl, plugin } = principal;
  let last: { readonly atMs: number; readonly gives: Promise<Authentication> } | undefined;
  return {
    server,
    namespace,
    proxyUrl,
    authenticate() {
      const nowMs = clock.elapsedMs();
      if (last === undefined || nowMs - last.atMs >= rereadMs) {
        const gives = authenticationOf(principal);
        last = { atMs: nowMs, gives };
        // A file that was not there may be the next moment.
        gives.catch(() => (last = undefined));
      }
      return last.gives;
    },
    refused() {
      last = undefined;
      plugin?.forget();
    },
  };
}

async function authenticationOf(principal: Principal): Promise<Authentication> {
  const { headers, plugin, serverName, insecureSkipTlsVerify } = principal;
  const [ca, cert, key, token] = await Promise.all([
    readMaterial(principal.ca),
    readMaterial(principal.cert),
    readMaterial(principal.key),
    readMaterial(principal.token),
  ]);
  const isKnown = Boolean(token) || headers?.["authorization"] !== undefined;
  const given = isKnown ? undefined : await plugin?.run();
  const bearer = token?.trim() ?? given?.token;
  return {
    tls: {
      ca,
      cert: cert ?? given?.cert ?? undefined,
      key: key ?? given?.key ?? undefined,
      servername: serverName === "" ? undefined : serverName,
      rejectUnauthorized: insecureSkipTlsVerify !== true,
    },
    headers: { ...headers, ...(bearer && { authorization: `Bearer ${bearer}` }) },
  };
}

/** @throws ApiError `ATTACHE_KUBERNETES_CONFIG` */
export async function readMaterial(material: Material | undefined): Promise<string | undefined> {
  if (material === undefined) return undefined;
  if ("text" in material) return material.text;
  try {
    return await readFile(material.file, "utf8");
  } catch (cause) {
    if (material.fallback) return material.fallback;
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error";
    throw new ApiError("ATTACHE_KUBERNETES_CONFIG", `${material.file} cannot be read (${reason})`, { cause });
  }
}
