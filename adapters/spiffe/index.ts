import type { Adapter } from "../../src/mesh/adapter.ts";
import { definition, type SpiffeIdentity, type SpiffeSettings } from "./definition.ts";
import { WorkloadMesh } from "./workload-mesh.ts";

/** X.509-SVIDs, over the SPIFFE Workload API of the node's agent. See README.md beside this file. */
export const adapter: Adapter<SpiffeSettings, SpiffeIdentity> = {
  ...definition,
  // eslint-disable-next-line @typescript-eslint/require-await -- an address that is none rejects, and is not thrown.
  connect: async (settings, context) => new WorkloadMesh(settings, context),
};
