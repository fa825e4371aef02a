import type { Adapter } from "../../src/mesh/adapter.ts";
import { definition, type IstioIdentity, type IstioSettings } from "./definition.ts";
import { SdsMesh } from "./sds-mesh.ts";

/** Workload certificates of Istio, from the agent of attaché's own pod. See README.md beside this file. */
export const adapter: Adapter<IstioSettings, IstioIdentity> = {
  ...definition,
  connect: ({ socket }, context) => Promise.resolve(new SdsMesh(socket, context)),
};
