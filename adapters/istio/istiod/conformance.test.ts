import { status } from "@grpc/grpc-js";
import { describe, it } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { MeshError, type MeshErrorCode } from "../../../src/mesh/adapter.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import {
  adapterConformance,
  type Fault,
  type Peer,
  type Subject,
} from "../../../test/conformance/adapter.ts";
import type { IstiodSettings, IstioIdentity, IstioSettings } from "../definition.ts";
import { type DevelopmentIstiod, startDevelopmentIstiod } from "../../../test/fixtures/istiod.ts";
import type { StreamFailure } from "../development/sds-stream.ts";
import { controlsOf } from "../../../test/fixtures/peer-controls.ts";
import { adapter } from "../index.ts";
import { IstiodMesh } from "./mesh.ts";

interface IstiodPeer extends Peer {
  readonly istiod: DevelopmentIstiod;
  mint: DevelopmentIstiod["mint"];
}

async function start(): Promise<IstiodPeer> {
  const authority = await createAuthority({
    trustDomain: "cluster.local",
    clock: systemClock,
    leafLifetimeMs: 20_000,
  });
  const istiod = await startDevelopmentIstiod({ authority, clock: systemClock });
  const peer: IstiodPeer = {
    istiod,
    mint: istiod.mint,
    settings: istiod.settings,
    identity: { serviceAccount: "edge" },
    namespace: "emissary",
    cluster: istiod.cluster,
    serviceAccountToken: (request) => peer.mint("emissary", request),
    secrets: () => istiod.tokens,
    // See `eager`: it asks for a new one itself.
    rotate: () => Promise.resolve(),
    ...controlsOf(authority, istiod),
    [Symbol.asyncDispose]: () => istiod[Symbol.asyncDispose](),
  };
  return peer;
}

/** Renews a second after it has got a leaf, which was issued a tenth of its life before. */
const eager: typeof adapter = {
  ...adapter,
  connect: (settings, context) =>
    Promise.resolve(new IstiodMesh(istiodSettings(settings), context, { from: 0.14, to: 0.16 })),
};

function istiodSettings(settings: IstioSettings): IstiodSettings {
  if (settings.mode !== "istiod") throw new TypeError("these are no settings of the mode istiod");
  return settings;
}

function answering(when: string, code: MeshErrorCode, failure: StreamFailure): Fault<IstiodPeer> {
  return {
    when,
    code,
    inject({ istiod }) {
      istiod.failure = failure;
      return Promise.resolve();
    },
    heal({ istiod }) {
      istiod.failure = undefined;
      return Promise.resolve();
    },
  };
}

const subject = {
  adapter: eager,
  start,
  faults: [
    answering("istiod does not accept the token", "ATTACHE_MESH_UNAUTHENTICATED", {
      code: status.UNAUTHENTICATED,
      details: "request authenticate failure",
    }),
    answering("istiod refuses the TTL", "ATTACHE_MESH_FORBIDDEN", {
      code: status.INVALID_ARGUMENT,
      details: "CSR signing error (requested TTL 2160h0m1s is greater than the max allowed TTL 2160h0m0s)",
    }),
    answering("istiod's CA is not ready", "ATTACHE_MESH_UNAVAILABLE", {
      code: status.INTERNAL,
      details: "CSR signing error (Istio CA is not ready)",
    }),
    {
      when: "the cluster gives no token",
      code: "ATTACHE_MESH_TOKEN",
      inject(peer) {
        peer.mint = () =>
          Promise.reject(new MeshError("ATTACHE_MESH_TOKEN", "there is no such ServiceAccount"));
        return Promise.resolve();
      },
      heal(peer) {
        peer.mint = (...request) => peer.istiod.mint(...request);
        return Promise.resolve();
      },
    },
    {
      when: "there is no ConfigMap",
      code: "ATTACHE_MESH_CLUSTER",
      inject({ istiod: { configMap } }) {
        configMap.publish(undefined);
        return Promise.resolve();
      },
      heal({ istiod }) {
        istiod.list();
        return Promise.resolve();
      },
    },
    {
      when: "istiod sends no roots",
      code: "ATTACHE_MESH_MALFORMED",
      inject({ istiod }) {
        istiod.tamper = ({ certChain }) => ({ certChain: certChain.slice(0, 1) });
        return Promise.resolve();
      },
      heal({ istiod }) {
        istiod.tamper = (reply) => reply;
        return Promise.resolve();
      },
    },
  ],
  refused: [{ what: "an identity without a ServiceAccount", identity: {} }],
} satisfies Subject<IstioSettings, IstioIdentity, IstiodPeer>;

describe("the istio adapter in mode istiod with the development istiod", { tags: ["realtime"] }, () => {
  for (const { name, run, skip } of adapterConformance(subject)) it.skipIf(skip !== undefined)(name, run);
});
