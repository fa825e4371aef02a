import type { Clock } from "../runtime/clock.ts";
import type { Access, Authentication } from "./access.ts";
import type { ExecPlugin } from "./exec-plugin.ts";
import { type Material, readMaterial } from "./material.ts";

/** Whom a kubeconfig or a pod lets attaché be, and of which API server; see {@link Access}. */
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
  readonly plugin?: ExecPlugin | undefined;
  /** `Impersonate-…`, or `Authorization` of the basic kind. */
  readonly headers?: Readonly<Record<string, string | string[]>>;
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
      const nowMs = clock.now().getTime();
      // Also when the clock was set back.
      if (last === undefined || Math.abs(nowMs - last.atMs) >= rereadMs) {
        const gives = read(principal);
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

async function read(principal: Principal): Promise<Authentication> {
  const [ca, cert, key, token, given] = await Promise.all([
    readMaterial(principal.ca),
    readMaterial(principal.cert),
    readMaterial(principal.key),
    readMaterial(principal.token),
    principal.plugin?.run(),
  ]);
  const bearer = given?.token ?? token?.trim();
  return {
    tls: {
      ca,
      cert: given?.cert ?? cert,
      key: given?.key ?? key,
      servername: principal.serverName,
      rejectUnauthorized: principal.insecureSkipTlsVerify !== true,
    },
    headers: {
      ...principal.headers,
      ...(bearer !== undefined && bearer !== "" && { authorization: `Bearer ${bearer}` }),
    },
  };
}
