import type { Adapter } from "../../src/mesh/adapter.ts";
import { ConsulClient } from "./http/client.ts";
import { connectionSettings } from "./http/connection-settings.ts";
import { type ConsulIdentity, type ConsulSettings, definition } from "./definition.ts";
import { HttpMesh } from "./http/http-mesh.ts";

/** Leaf certificates of Consul Connect, from one agent's HTTP API. See README.md beside this file. */
export const adapter: Adapter<ConsulSettings, ConsulIdentity> = {
  ...definition,
  async connect(settings, context) {
    const client = await ConsulClient.open(connectionSettings(settings, context.env), context.clock);
    return new HttpMesh(client, context);
  },
};
