import { systemClock } from "../../../src/runtime/clock.ts";
import type { ConsulIdentity } from "../../../adapters/consul/definition.ts";
import { adapter } from "../../../adapters/consul/index.ts";
import type { Check, ConnectionState, Credential, WatchOptions } from "../../../src/mesh/adapter.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { watchOptions } from "../../fixtures/watch-options.ts";

/** One identity, watched as attaché does it. */
export interface Watching extends AsyncDisposable {
  /** The next credential; rejects with the reason why the watch ended. */
  next(): Promise<Credential>;
  /** The first from now on that `wanted` accepts. */
  until(wanted: (credential: Credential) => boolean): Promise<Credential>;
  /** What the mesh says of itself, as it is asked. */
  check(): Promise<Check[]>;
  /** As reported, the newest last. */
  readonly states: readonly ConnectionState[];
}

/** With mode `http`, unless the settings say otherwise. */
export async function watch(
  settings: object,
  identity: ConsulIdentity | string,
  env = {},
  options: Partial<WatchOptions> = {},
): Promise<Watching> {
  const states: ConnectionState[] = [];
  const over = new AbortController();
  const mesh = await adapter.connect(adapter.settings.parse({ mode: "http", ...settings }), {
    name: "consul",
    clock: systemClock,
    logger: createLogger("silent"),
    env,
    connection: (state) => states.push(state),
  });
  const wanted = typeof identity === "string" ? { service: identity } : identity;
  const watching = mesh.watch(wanted, { ...watchOptions(over.signal), ...options });
  const credentials = watching[Symbol.asyncIterator]();

  async function next(): Promise<Credential> {
    const { value } = (await credentials.next()) as { value: Credential };
    return value;
  }

  return {
    states,
    check: () => mesh.check(),
    next,
    async until(wanted) {
      for (;;) {
        const credential = await next();
        if (wanted(credential)) return credential;
      }
    },
    async [Symbol.asyncDispose]() {
      over.abort();
      await mesh[Symbol.asyncDispose]();
    },
  };
}
