import type { Clock } from "../runtime/clock.ts";
import type { LoadedSettings } from "../config/load.ts";
import type { MeshError } from "../mesh/errors.ts";
import type { Cluster } from "../mesh/port.ts";
import { isBuiltIn, loadAdapter } from "../registry/registry.ts";
import { type OpenMesh, openMesh } from "../controller/open-mesh.ts";
import type { Logger } from "../telemetry/logger.ts";

interface MeshesOptions {
  readonly loaded: LoadedSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cluster: Cluster;
  /** Called with each failure of a connection. */
  readonly onFailure?: (mesh: string, error: MeshError) => void;
}

/** The configured meshes, each with its adapter. To dispose of them closes their connections. */
interface Meshes extends AsyncDisposable {
  readonly byName: ReadonlyMap<string, OpenMesh>;
}

/**
 * @param onChange called with the name of a mesh after each change of its connection.
 * @throws AttacheError if a mesh names no adapter, or its settings can never work.
 */
export async function openMeshes(
  options: MeshesOptions,
  onChange: (name: string) => void = () => undefined,
): Promise<Meshes> {
  await using stack = new AsyncDisposableStack();
  const byName = new Map<string, OpenMesh>();
  for (const name of Object.keys(options.loaded.settings.meshes)) {
    byName.set(name, stack.use(await openConfigured(name, options, () => onChange(name))));
  }
  const owned = stack.move();
  return { byName, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** @throws AttacheError if a mesh names no adapter, or its settings are not what the adapter takes. */
export async function checkMeshes(loaded: LoadedSettings): Promise<void> {
  for (const [name, { adapter: kind }] of Object.entries(loaded.settings.meshes)) {
    const adapter = await loadAdapter(kind, loaded.settings.plugins.directory);
    loaded.meshSettings(name, adapter.settings);
  }
}

async function openConfigured(
  name: string,
  { loaded, clock, logger, env, cluster, onFailure }: MeshesOptions,
  onChange: () => void,
): Promise<OpenMesh> {
  const { adapter: kind = "", trust, trustDomain } = loaded.settings.meshes[name] ?? {};
  const adapter = await loadAdapter(kind, loaded.settings.plugins.directory);
  const context = {
    name,
    clock,
    env,
    cluster,
    logger: logger.child({ mesh: name }),
    ...(trustDomain !== undefined && { trustDomain }),
  };
  return openMesh(adapter, context, {
    settings: loaded.meshSettings(name, adapter.settings),
    source: isBuiltIn(kind) ? kind : "plugin",
    onFailure: (error) => onFailure?.(name, error),
    retainMs: trust?.retain,
    trustDomain,
    onConnection: (state) => {
      if (state.connected) context.logger.log("MeshConnected");
      else context.logger.log("MeshDisconnected", { err: state.error });
      onChange();
    },
  });
}
