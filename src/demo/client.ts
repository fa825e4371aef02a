import { request } from "node:https";
import type { SecureContext } from "node:tls";
import type { Clock } from "../runtime/clock.ts";

export interface Traffic {
  readonly requests: number;
  readonly failed: number;
  /** Why requests failed, each reason once. */
  readonly reasons: ReadonlySet<string>;
}

interface Route {
  /** The TLS material for the upstream; `undefined` before the first publication. */
  readonly context: () => SecureContext | undefined;
  readonly port: number;
}

/** Long enough for a process that gets no CPU for seconds. */
const requestTimeoutMs = 30_000;

/**
 * The ingress's part: sends `perSecond` requests, to one route after the other, until `signal` aborts. Each
 * makes a connection of its own, so that every request is a full handshake with what is published at that
 * moment.
 */
export function startClient(
  routes: readonly Route[],
  { perSecond, clock }: { readonly perSecond: number; readonly clock: Clock },
  signal: AbortSignal,
): { readonly traffic: Traffic; readonly done: Promise<void> } {
  const reasons = new Set<string>();
  const traffic = { requests: 0, failed: 0, reasons };
  const inFlight = new Set<Promise<void>>();

  async function send({ context, port }: Route): Promise<void> {
    const loaded = context();
    if (loaded === undefined) return;
    try {
      traffic.requests += 1;
      const status = await get(port, loaded);
      if (status !== 200) throw new Error(`the upstream answered ${status}`);
    } catch (error) {
      traffic.failed += 1;
      reasons.add(error instanceof Error ? error.message : String(error));
    }
  }

  async function run(): Promise<void> {
    const startedAt = performance.now();
    for (let sent = 0; !signal.aborted; sent += 1) {
      const route = routes[sent % routes.length];
      if (route === undefined) return;
      const one = send(route).finally(() => inFlight.delete(one));
      inFlight.add(one);
      const nextAt = startedAt + ((sent + 1) * 1_000) / perSecond;
      await clock.sleep(Math.max(0, nextAt - performance.now()), signal).catch(() => undefined);
    }
    await Promise.all(inFlight);
  }

  return { traffic, done: run() };
}

function get(port: number, secureContext: SecureContext): Promise<number> {
  const options = {
    secureContext,
    host: "127.0.0.1",
    port,
    agent: false,
    timeout: requestTimeoutMs,
    // Emissary compares no names (emissary#1646): a leaf of the mesh is a leaf of the mesh.
    checkServerIdentity: () => undefined,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(options, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
      response.on("error", reject);
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error("no answer in time")));
    outgoing.on("error", reject);
    outgoing.end();
  });
}
