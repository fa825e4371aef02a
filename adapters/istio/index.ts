import type { Adapter, Mesh, MeshContext } from "../../src/mesh/adapter.ts";
import { definition, type IstioIdentity, type IstioSettings } from "./definition.ts";
import { folderSource } from "./files/source.ts";
import { IstiodMesh } from "./istiod/mesh.ts";
import { OwnIdentityMesh } from "./own-identity-mesh.ts";
import { agentSource } from "./sds/agent.ts";

/** Workload certificates of Istio. See README.md beside this file. */
export const adapter: Adapter<IstioSettings, IstioIdentity> = {
  ...definition,
  connect: (settings, context) => Promise.resolve(open(settings, context)),
};

function open(settings: IstioSettings, context: MeshContext): Mesh<IstioIdentity> {
  switch (settings.mode) {
    case "sds":
      return new OwnIdentityMesh(agentSource(settings.socket, context.clock), context);
    case "files":
      return new OwnIdentityMesh(folderSource(settings.directory, context.clock), context);
    case "istiod":
      return new IstiodMesh(settings, context);
  }
}
