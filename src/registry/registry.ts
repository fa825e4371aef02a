/**
 * The adapters that attaché brings along: the only place outside `adapters/` that knows them. A test compares
 * it with the folders there.
 */
import { definition as consul } from "../../adapters/consul/definition.ts";
import { definition as istio } from "../../adapters/istio/definition.ts";
import { definition as spiffe } from "../../adapters/spiffe/definition.ts";
import type { Adapter } from "../mesh/port.ts";
import { loadPlugin } from "./plugin.ts";

/** The schemas and defaults of each adapter; small, so that commands without a mesh start fast. */
export const definitions = { consul, istio, spiffe };

export type BuiltInKind = keyof typeof definitions;

/** The code of each adapter, with the libraries for its control plane. */
const modules = {
  consul: () => import("../../adapters/consul/index.ts"),
  istio: () => import("../../adapters/istio/index.ts"),
  spiffe: () => import("../../adapters/spiffe/index.ts"),
} satisfies Record<BuiltInKind, unknown>;

/** The control planes of the demo; real protocols over real authorities. */
export const development = {
  consul: () => import("../../adapters/consul/development/server.ts"),
  istio: () => import("../../adapters/istio/development/index.ts"),
};

export function isBuiltIn(name: string): name is BuiltInKind {
  return Object.hasOwn(definitions, name);
}

/**
 * The adapter that the settings name: a built-in one by its kind, any other as the npm module of that name.
 *
 * What it takes was parsed by its own schemas, hence `unknown`.
 * @param directory in which plug-ins are installed.
 * @throws MeshError `ATTACHE_MESH_UNKNOWN`, `ATTACHE_MESH_PLUGIN`
 */
export async function loadAdapter(name: string, directory: string): Promise<Adapter<unknown, unknown>> {
  if (!isBuiltIn(name)) return loadPlugin(name, directory, Object.keys(definitions));
  const { adapter } = await modules[name]();
  return adapter;
}
