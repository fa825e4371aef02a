import { type Adapter, type Mesh, type MeshContext } from "../../src/mesh/adapter.ts";
import {
  type ConsulIdentity,
  type ConsulSettings,
  definition,
  type GrpcSettings,
  type HttpSettings,
} from "./definition.ts";

/**
 * Leaf certificates of Consul Connect, from its servers or one of its agents. See README.md beside this file.
 */
export const adapter: Adapter<ConsulSettings, ConsulIdentity> = {
  ...definition,
  connect: (settings, context) =>
    settings.mode === "grpc" ? connectServers(settings, context) : connectAgent(settings, context),
};

/** Loads gRPC only where it is spoken. */
async function connectServers(settings: GrpcSettings, context: MeshContext): Promise<Mesh<ConsulIdentity>> {
  const { connectionSettings } = await import("./grpc/connection-settings.ts");
  const { GrpcMesh } = await import("./grpc/grpc-mesh.ts");
  const { secureContext } = await import("./tls.ts");
  const connection = connectionSettings(settings, context.env);
  // Files that cannot be used are to be known at once; they are read again for each connection.
  if (connection.tls !== undefined) await secureContext(connection.tls);
  return new GrpcMesh(connection, context);
}

async function connectAgent(settings: HttpSettings, context: MeshContext): Promise<Mesh<ConsulIdentity>> {
  const { ConsulClient } = await import("./http/client.ts");
  const { connectionSettings } = await import("./http/connection-settings.ts");
  const { HttpMesh } = await import("./http/http-mesh.ts");
  const client = await ConsulClient.open(connectionSettings(settings, context.env), context.clock);
  return new HttpMesh(client, context);
}
