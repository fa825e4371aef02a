import { describe, it } from "vitest";
import { MeshError } from "../../src/mesh/adapter.ts";
import { createFakeMesh } from "../fixtures/fake-mesh.ts";
import { adapterConformance, type Peer, type Subject } from "./adapter.ts";

const fake = await createFakeMesh();
let starts = 0;

interface FakePeer extends Peer {
  readonly identity: { readonly service: string };
}

/** One control plane for all cases; each has an identity of its own. */
async function start(): Promise<FakePeer> {
  await fake.resume();
  starts += 1;
  return {
    settings: {},
    identity: { service: `web-${starts}` },
    secrets: () => [],
    rotate: () => fake.rotate(),
    rotateRoot: () => fake.rotateRoot(),
    dropOldRoots: () => fake.dropOldRoots(),
    stop: () => fake.stop(),
    resume: () => fake.resume(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const subject = {
  adapter: fake.adapter,
  start,
  faults: [
    {
      when: "the token may not have the identity",
      code: "ATTACHE_MESH_FORBIDDEN",
      inject: ({ identity }) =>
        fake.refuse(identity.service, new MeshError("ATTACHE_MESH_FORBIDDEN", "service:write is missing")),
      heal: ({ identity }) => fake.allow(identity.service),
    },
    {
      when: "the control plane has no leader",
      code: "ATTACHE_MESH_UNAVAILABLE",
      inject: () => fake.stop(new MeshError("ATTACHE_MESH_UNAVAILABLE", "no leader")),
      heal: () => fake.resume(),
    },
  ],
} satisfies Subject<Record<string, never>, { service: string }, FakePeer>;

describe("the fake adapter", () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
