import "reflect-metadata";
import { Pkcs10CertificateRequest } from "@peculiar/x509";
import { status } from "@grpc/grpc-js";
import { createServer } from "node:net";
import { once } from "node:events";
import { describe, expect, it, onTestFinished } from "vitest";
import type { AddressInfo } from "node:net";
import { type Certificate, type Clock, MeshError, type TokenRequest } from "../../../src/mesh/adapter.ts";
import { type Authority, createAuthority } from "../../../src/mesh/development/authority.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { createCrl, crlPem } from "../../../test/fixtures/crl.ts";
import { createRoot, unreadablePem } from "../../../test/fixtures/pki.ts";
import { watchMesh, type WatchedMeshOptions } from "../../../test/fixtures/watched-mesh.ts";
import { startDevelopmentIstiod } from "../../../test/fixtures/istiod.ts";
import { adapter } from "../index.ts";

const identity = { serviceAccount: "edge" };
const root = await createRoot();
const uri = "spiffe://cluster.local/ns/emissary/sa/edge";

describe("the roots of istiod", () => {
  it("are those that can be read, and one that cannot is named", async () => {
    await using world = await setUp();
    await using watched = await world.watch();
    const { bundle, leftOut } = await watched.next();
    expect(leftOut ?? []).toEqual([]);
    const pem = world.istiod.configMap.value?.["root-cert.pem"] ?? "";
    world.istiod.configMap.publish({ "root-cert.pem": pem + unreadablePem });
    const next = await watched.next();
    expect(next.bundle).toEqual(bundle);
    expect(next.leftOut).toMatchObject([{ reason: "UnreadableByEnvoy" }]);
  });
});

describe("the revocation lists of istiod", () => {
  const [one, other] = [createCrl(root), createCrl(root, { revoked: [root.certificate] })].map(crlPem);

  it("come with the credential, and follow their ConfigMap", async () => {
    await using world = await setUp();
    const { crlConfigMap } = world.istiod;
    await using watched = await world.watch();
    const first = await watched.next();
    expect(first.crls).toBeUndefined();
    for (const list of [one, other]) {
      crlConfigMap.publish({ "ca-crl.pem": list ?? "" });
      const next = await watched.next();
      expect(next.crls?.lists.map((crl) => crl.toPem())).toEqual([list]);
      expect(next.chain).toBe(first.chain);
    }
    crlConfigMap.publish({ "ca-crl.pem": "" });
    expect((await watched.next()).crls).toBeUndefined();
    expect(world.istiod.signed).toBe(1);
  });

  it("survive a change of the roots", async () => {
    await using world = await setUp();
    world.istiod.crlConfigMap.publish({ "ca-crl.pem": one ?? "" });
    await using watched = await world.watch();
    await watched.passUntil(() => watched.seen.at(-1)?.crls !== undefined);
    await world.authority.rotateRoot();
    await watched.passUntil(() => watched.seen.at(-1)?.bundle.length === 2);
    expect(watched.seen.at(-1)?.crls?.lists).toHaveLength(1);
  });

  it("that cannot be read keep no credential back, and are named", async () => {
    await using world = await setUp();
    const { cluster, crlConfigMap } = world.istiod;
    crlConfigMap.publish({ "ca-crl.pem": "<html>" });
    await using watched = await world.watch();
    await watched.passUntil(() => watched.seen.at(-1)?.crls !== undefined);
    expect(watched.seen.at(-1)?.crls).toEqual({ lists: [], problems: ["The revocation lists: not PEM."] });

    const forbidden = new MeshError("ATTACHE_MESH_CLUSTER", "attaché may not get configmaps");
    const configMap = (name: string, signal: AbortSignal) =>
      name === "mine" ? failing(forbidden) : cluster.configMap(name, signal);
    await using kept = await world.watch({ crlConfigMap: "mine" }, { cluster: { ...cluster, configMap } });
    await kept.passUntil(() => kept.seen.at(-1)?.crls !== undefined);
    expect(kept.seen.at(-1)?.crls).toEqual({
      lists: [],
      problems: ["The ConfigMap mine of attaché's namespace cannot be read: attaché may not get configmaps."],
    });
    expect(kept.lastError()).toBeUndefined();
  });
});

describe("a CSR to istiod", () => {
  it("asks for exactly the identity, of the MeshCertificate's own namespace, and for nothing more", async () => {
    await using world = await setUp();
    await using watched = await world.watch();
    const { chain } = await watched.next();
    expect(chain[0].uris).toEqual([uri]);
    const { csr, validityDuration, clusterId } = world.istiod.lastRequest ?? {};
    const request = new Pkcs10CertificateRequest(csr ?? "");
    expect(request.subject).toBe("");
    expect(request.attributes).toHaveLength(1);
    expect([validityDuration, clusterId]).toEqual(["0", undefined]);
  });

  it("carries the TTL and the cluster's name that the settings say", async () => {
    await using world = await setUp();
    await using watched = await world.watch({ ttl: "10m", clusterId: "east" });
    await watched.next();
    expect(world.istiod.lastRequest).toMatchObject({ validityDuration: "600", clusterId: "east" });
  });

  it("has a token of the ServiceAccount, a new one when the last has ended", async () => {
    await using world = await setUp();
    await using watched = await world.watch({ audience: "istio-ca" });
    const { renewalTime } = await watched.next();
    expect(world.requests).toMatchObject([{ serviceAccount: "edge", audiences: ["istio-ca"] }]);
    await watched.clock.advance(msUntil(renewalTime, watched.clock));
    await watched.next();
    expect(world.requests).toHaveLength(2);
  });

  it("is sent again with a new token when the last one is refused", async () => {
    await using world = await setUp();
    world.istiod.failure = { code: status.UNAUTHENTICATED, details: "request authenticate failure" };
    await using refused = await world.watch();
    expect(await refused.end()).toMatchObject({
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      problem:
        "istiod does not accept the token of the ServiceAccount (UNAUTHENTICATED): request authenticate failure",
      retryable: true,
    });
    world.istiod.failure = undefined;
    await using watched = await world.watch();
    await watched.next();
    expect(world.istiod.tokens).toHaveLength(2);
  });

  it("waits and is sent again when istiod is not ready, which passes", async () => {
    await using world = await setUp();
    world.istiod.failure = { code: status.INTERNAL, details: "CSR signing error (Istio CA is not ready)" };
    await using watched = await world.watch();
    await watched.passUntil(() => world.istiod.lastRequest !== undefined);
    world.istiod.failure = undefined;
    await watched.next();
    expect(world.istiod.tokens).toHaveLength(1);
  });

  it("of a mesh with another trust domain ends with the setting that is missing", async () => {
    await using world = await setUp("mesh.example");
    await using watched = await world.watch();
    expect(await watched.end()).toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      remedy: "Set `trustDomain: mesh.example` in the settings of the mesh, if that is its trust domain.",
    });
    await using right = await world.watch({}, { trustDomain: "mesh.example" });
    expect((await right.next()).chain[0].uris).toEqual(["spiffe://mesh.example/ns/emissary/sa/edge"]);
  });

  it("is not made for an identity that names no ServiceAccount", async () => {
    await using world = await setUp();
    await using watched = await world.watch({}, { identity: {} });
    expect(await watched.end()).toMatchObject({ code: "ATTACHE_MESH_IDENTITY_REFUSED", retryable: false });
    expect(world.istiod.tokens).toEqual([]);
  });
});

describe("a change of the mesh's root", () => {
  it("comes early for those we trust, and late for our own leaf", async () => {
    await using world = await setUp();
    await using watched = await world.watch();
    const first = await watched.next();
    await world.authority.rotateRoot();
    const united = await watched.next();
    expect(united.chain).toBe(first.chain);
    expect(united.renewalTime).toEqual(first.renewalTime);
    expect(united.bundle.map(printOf)).toEqual(rootsOf(world.authority));
    await watched.clock.advance(msUntil(united.renewalTime, watched.clock));
    const late = await watched.next();
    expect(late.chain[0].issuer).toBe(united.bundle[1]?.subject);
    expect(late.bundle.map(printOf)).toEqual(rootsOf(world.authority));
  });

  it("that is not listed yet is learnt from the reply to a CSR", async () => {
    await using world = await setUp();
    await using watched = await world.watch();
    const { renewalTime } = await watched.next();
    world.istiod.listsRoots = false;
    await world.authority.rotateRoot();
    await watched.clock.advance(msUntil(renewalTime, watched.clock));
    const learnt = await watched.next();
    expect(learnt.bundle.map(printOf)).toEqual(rootsOf(world.authority));
    world.istiod.list();
    await watched.clock.advance(1000);
    expect(watched.seen).toHaveLength(2);
  });

  it("without any overlap leaves the old root in place until the leaf is replaced, soon", async () => {
    await using world = await setUp();
    await using watched = await world.watch();
    const first = await watched.next();
    world.istiod.listsRoots = false;
    await world.authority.rotateRoot();
    world.authority.dropRoot(printOf(first.bundle[0]));
    world.istiod.list();
    const kept = await watched.next();
    expect(kept.chain).toBe(first.chain);
    expect(kept.bundle).toHaveLength(2);
    await watched.clock.advance(msUntil(kept.renewalTime, watched.clock));
    const second = await watched.next();
    expect(second.bundle.map(printOf)).toEqual(rootsOf(world.authority));
    expect(second.chain[0].issuer).toBe(second.bundle[0]?.subject);
  });

  it("is followed by the next connection to istiod", { tags: ["realtime"] }, async () => {
    await using world = await setUp();
    await using watched = await world.watch();
    const first = await watched.next();
    await world.authority.rotateRoot();
    world.authority.dropRoot(printOf(first.bundle[0]));
    await world.istiod.stop();
    await watched.passUntil(() => watched.lastError() !== undefined);
    await world.istiod.resume();
    await watched.passUntil(() => watched.states.at(-1)?.connected === true);
  });
});

describe("an istiod that cannot be reached", () => {
  it(
    "because no server listens is waited for, and the last roots and leaf stay",
    { tags: ["realtime"] },
    async () => {
      await using world = await setUp();
      await using watched = await world.watch();
      await watched.next();
      await world.istiod.stop();
      await watched.passUntil(() => watched.lastError() !== undefined);
      expect(watched.lastError()).toMatchObject({
        code: "ATTACHE_MESH_UNREACHABLE",
        problem: `${world.istiod.settings.address} cannot be reached (ECONNREFUSED)`,
      });
      await world.istiod.resume();
      await watched.passUntil(() => watched.states.at(-1)?.connected === true);
      expect(watched.seen).toHaveLength(1);
    },
  );

  it("because its certificate is for another name is reported with that name", async () => {
    await using world = await setUp();
    await using watched = await world.watch({ serverName: "istiod-canary.istio-system.svc" });
    await watched.passUntil(() => watched.lastError() !== undefined);
    expect(watched.lastError()).toMatchObject({
      code: "ATTACHE_MESH_TLS",
      remedy: expect.stringContaining(
        "but for URI:spiffe://cluster.local/ns/istio-system/sa/istiod, DNS:istiod",
      ) as string,
    });
  });

  it("because its root is another one is reported so", async () => {
    await using world = await setUp();
    const { clock } = world;
    const stranger = await createAuthority({ trustDomain: "cluster.local", clock });
    world.istiod.configMap.publish({ "root-cert.pem": stranger.roots()[0]?.certificate.toPem() ?? "" });
    await using watched = await world.watch();
    await watched.passUntil(() => watched.lastError() !== undefined);
    expect(watched.lastError()).toMatchObject({
      code: "ATTACHE_MESH_TLS",
      remedy: expect.stringContaining("have not signed istiod's certificate") as string,
    });
  });

  it("because its roots are not there is reported with their place, and goes on when they come", async () => {
    await using world = await setUp();
    world.istiod.configMap.publish(undefined);
    await using watched = await world.watch();
    await watched.passUntil(() => watched.lastError() !== undefined);
    expect(watched.lastError()).toMatchObject({ code: "ATTACHE_MESH_CLUSTER" });
    world.istiod.list();
    await watched.next();
  });
});

describe("a check of istiod", () => {
  it("finds the roots, the certificate and the CA", async () => {
    await using world = await setUp();
    await using watched = await world.watch();
    const { address } = world.istiod.settings;
    expect(await watched.mesh.check()).toEqual([
      {
        name: "roots",
        status: "ok",
        message: "certificates in the ConfigMap istio-ca-root-cert of attaché's namespace: 1",
      },
      {
        name: `TLS to ${address}`,
        status: "ok",
        message: "it has a certificate for istiod.istio-system.svc",
      },
      { name: "CA", status: "ok", message: "it signs for those whose token it accepts" },
    ]);
  });

  it("follows the roots no longer when it has seen them", async () => {
    await using world = await setUp();
    let following = 0;
    await using watched = await world.watch(
      {},
      {
        cluster: {
          ...world.istiod.cluster,
          async *configMap(...named) {
            following += 1;
            try {
              yield* world.istiod.cluster.configMap(...named);
            } finally {
              following -= 1;
            }
          },
        },
      },
    );
    await watched.next();
    // The roots and the revocation lists.
    expect(following).toBe(2);
    await watched.mesh.check();
    expect(following).toBe(2);
  });

  it("says what is missing, and what to do", async () => {
    await using world = await setUp();
    await using watched = await world.watch();
    world.istiod.failure = { code: status.UNIMPLEMENTED, details: "unknown service" };
    expect((await watched.mesh.check())[2]).toMatchObject({
      name: "CA",
      status: "failed",
      remedy: expect.stringContaining("ENABLE_CA_SERVER") as string,
    });
    await world.istiod.stop();
    expect((await watched.mesh.check())[1]).toMatchObject({ status: "failed" });
    world.istiod.configMap.publish(undefined);
    expect(await watched.mesh.check()).toMatchObject([{ name: "roots", status: "failed" }]);
  });

  it.each([["plain text", (text: string) => text, /ERR_SSL|EPROTO/]])(
    "tells that the port is one of %s",
    async () => {
      await using world = await setUp();
      const plain = createServer((socket) => {
        // The client does not wait for more of what is no TLS.
        socket.on("error", () => undefined);
        socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      }).listen(0, "127.0.0.1");
      onTestFinished(() => void plain.close());
      await once(plain, "listening");
      await using watched = await world.watch({
        address: `127.0.0.1:${(plain.address() as AddressInfo).port}`,
      });
      expect((await watched.mesh.check())[1]).toMatchObject({
        status: "failed",
        remedy: expect.stringContaining("15012") as string,
      });
    },
  );
});

const dayMs = 24 * 3_600_000;

// eslint-disable-next-line require-yield -- it fails before there is anything.
async function* failing(error: MeshError): AsyncGenerator<undefined> {
  throw await Promise.resolve(error);
}

async function setUp(trustDomain = "cluster.local") {
  // TLS looks at the clock of the machine, for which nothing here may be of the future.
  const clock = manualClock(new Date(Date.now() - dayMs));
  const authority = await createAuthority({ trustDomain, clock, leafLifetimeMs: 3_600_000 });
  const istiod = await startDevelopmentIstiod({ authority, clock });
  const requests: TokenRequest[] = [];
  return {
    clock,
    authority,
    istiod,
    requests,
    watch: (settings: object = {}, options: WatchedMeshOptions = {}) =>
      watchMesh(
        adapter,
        { ...istiod.settings, ...settings },
        {
          clock,
          identity,
          // Answers come over a network, while a call that takes ten seconds of this clock is given up.
          stepMs: 20,
          cluster: istiod.cluster,
          serviceAccountToken: (request) => {
            requests.push(request);
            return istiod.mint("emissary", request);
          },
          ...options,
        },
      ),
    [Symbol.asyncDispose]: () => istiod[Symbol.asyncDispose](),
  };
}

function msUntil(time: Date | undefined, clock: Clock): number {
  return (time?.getTime() ?? 0) - clock.now().getTime();
}

function printOf(certificate: Certificate | undefined): string {
  return certificate?.fingerprint ?? "none";
}

function rootsOf(authority: Authority): string[] {
  return authority.roots().map(({ certificate }) => certificate.fingerprint);
}
