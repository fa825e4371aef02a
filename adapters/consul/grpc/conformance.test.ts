import { status } from "@grpc/grpc-js";
import { describe, it } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { adapterConformance, type Peer, type Subject } from "../../../test/conformance/adapter.ts";
import type { ConsulIdentity, ConsulSettings } from "../definition.ts";
import { type DevelopmentServer, Refusal, startDevelopmentServer } from "../development/server.ts";
import { controlsOf } from "../../../test/fixtures/peer-controls.ts";
import { adapter } from "../index.ts";

interface ServerPeer extends Peer {
  readonly server: DevelopmentServer;
}

const token = "1e7b3c8a-52a6-4f0e-9a3d-6f1c2b4d8e90";

async function start(): Promise<ServerPeer> {
  const authority = await createAuthority({
    trustDomain: "11111111-2222-3333-4444-555555555555.consul",
    clock: systemClock,
    // After a change of roots a leaf is replaced within a tenth of its life.
    leafLifetimeMs: 10_000,
  });
  const server = await startDevelopmentServer({ authority });
  server.acl.tokens = { [token]: ["web"] };
  const controls = controlsOf(authority, server);
  return {
    server,
    settings: { ...server.settings, token },
    identity: { service: "web" },
    secrets: () => [token],
    // A server signs when it is asked: what makes attaché ask is a new root.
    rotate: controls.rotateRoot,
    ...controls,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** What each call of a method is refused with. */
function refusing(code: status, details: string, method?: string) {
  return ({ server }: ServerPeer) => {
    server.refuse((call) =>
      method === undefined || call.method === method ? new Refusal(code, details) : undefined,
    );
    return Promise.resolve();
  };
}

function heal({ server }: ServerPeer): Promise<void> {
  server.acl.tokens = { [token]: ["web"] };
  server.refuse(undefined);
  return Promise.resolve();
}

const subject = {
  adapter,
  start,
  faults: [
    {
      when: "the ACL token may not have the service",
      code: "ATTACHE_MESH_FORBIDDEN",
      inject({ server }) {
        server.acl.tokens = { [token]: ["other"] };
        return Promise.resolve();
      },
      heal,
    },
    {
      when: "the ACL token was deleted",
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      inject({ server }) {
        server.acl.tokens = {};
        return Promise.resolve();
      },
      heal,
    },
    {
      when: "Connect is off",
      code: "ATTACHE_MESH_UNAVAILABLE",
      inject: refusing(
        status.FAILED_PRECONDITION,
        "Connect must be enabled in order to use this endpoint",
        "WatchRoots",
      ),
      heal,
    },
    {
      when: "the servers are of another kind",
      code: "ATTACHE_MESH_MALFORMED",
      inject: refusing(status.UNIMPLEMENTED, "unknown service hashicorp.consul.connectca.ConnectCAService"),
      heal,
    },
  ],
  refused: [
    { what: "a ServiceAccount without a login for it", identity: { service: "web", serviceAccount: "web" } },
    { what: "a namespace of Consul's community edition", identity: { service: "web", namespace: "shop" } },
  ],
} satisfies Subject<ConsulSettings, ConsulIdentity, ServerPeer>;

describe("the consul adapter with the development server", { tags: ["realtime"] }, () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
