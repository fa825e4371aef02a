import type { Adapter, MeshContext } from "../../src/mesh/adapter.ts";
import { definition, type IstioIdentity, type IstioSettings } from "./definition.ts";
import { folderSource } from "./files/source.ts";
import { OwnIdentityMesh, type Source } from "./own-identity-mesh.ts";
import { agentSource } from "./sds/source.ts";

/** Workload certificates of Istio. See README.md beside this file. */
export const adapter: Adapter<IstioSettings, IstioIdentity> = {
  ...definition,
  connect: (settings, context) => Promise.resolve(new OwnIdentityMesh(sourceOf(settings, context), context)),
};

function sourceOf(settings: IstioSettings, { clock }: MeshContext): Source {
  return settings.mode === "sds"
    ? agentSource(settings.socket, clock)
    : folderSource(settings.directory, clock);
}
