import type { IstioIdentity } from "../../../adapters/istio/definition.ts";
import { adapter } from "../../../adapters/istio/index.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import type { Credential, Mesh, MeshContext, WatchOptions } from "../../../src/mesh/adapter.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { watchOptions } from "../../fixtures/watch-options.ts";

/** The adapter, connected as attaché connects it. @param settings as a user writes them */
export function connect(settings: object, context: Partial<MeshContext> = {}): Promise<Mesh<IstioIdentity>> {
  return adapter.connect(adapter.settings.parse(settings), {
    name: "istio",
    clock: systemClock,
    logger: createLogger("silent"),
    env: {},
    connection: () => undefined,
    ...context,
  });
}

/** The first credential of an identity; rejects with the reason why there is none. */
export async function firstOf(
  mesh: Mesh<IstioIdentity>,
  identity: IstioIdentity,
  options: Partial<WatchOptions> = {},
): Promise<Credential> {
  const over = new AbortController();
  try {
    const credentials = mesh.watch(identity, { ...watchOptions(over.signal), ...options });
    for await (const credential of credentials) return credential;
    throw new TypeError("a watch ended without an error");
  } finally {
    over.abort();
  }
}
