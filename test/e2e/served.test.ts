import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { MeshCertificate } from "../../src/api/mesh-certificate.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { emissary as emissarySettings } from "../../src/config/emissary.ts";
import type { Ingress } from "../../src/ingress/ingress.ts";
import { openIngress } from "../../src/ingress/open-ingress.ts";
import { pathOf, type Resource, resources } from "../../src/kube/resources.ts";
import type { Manifest } from "../../src/render/manifest.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { targetOf } from "../conformance/store-target.ts";
import { createLeaf, createRoot, type Issued } from "../fixtures/pki.ts";
import { type Cluster, cluster as sharedCluster } from "../peers/kubernetes/cluster.ts";
import { runStore, type StoreRun } from "../peers/kubernetes/store-run.ts";
import { type Emissary, startEmissary } from "./emissary.ts";
import { follow } from "./follow.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

/** Only a failure takes so long. */
const waiting = { timeout: 40_000, interval: 50 };
const base64 = (text: string) => Buffer.from(text).toString("base64");

let cluster: Cluster;
let root: Issued;
let upstreams: readonly [web: Upstream, shop: Upstream];

beforeAll(async () => {
  cluster = await sharedCluster();
  root = await createRoot();
  const start = async () => startUpstream(root, await createLeaf(root));
  upstreams = [await start(), await start()];
});
afterAll(async () => {
  for (const upstream of upstreams) await upstream[Symbol.asyncDispose]();
});

/** A leaf that ends as many hours before all others. */
function leafOf(issuer: Issued, hours: number): Promise<Issued> {
  return createLeaf(issuer, { notAfter: new Date(Date.UTC(2035, 0, 1, hours)) });
}

/** attaché's store and its view of the ingress over a real Envoy, with two Mappings that use one identity. */
class Scene implements AsyncDisposable {
  readonly run: StoreRun;
  readonly emissary: Emissary;
  readonly ingress: Ingress;
  readonly identity: MeshCertificate;
  nudges = 0;
  reverted = 0;
  #value = 0;

  /** @param nudgeAfter much longer where none is to be needed, however busy the machine is. */
  static async open(nudgeAfter = "1s", touchMappings = false): Promise<Scene> {
    const run = await runStore(cluster, { uses: undefined });
    const { namespace } = run;
    const { access, admin } = cluster;
    await run.peer.put(`${namespace}/edge`, {
      consul: { service: "edge" },
      target: { tlsContext: { name: `${namespace}-edge` } },
    });
    const identity = await identityOf(run);
    const emissary = await startEmissary({ access, admin, namespace });
    const scene = new Scene(run, emissary, identity, { nudgeAfter, touchMappings });
    await scene.publish([root], await leafOf(root, 1));
    const [web, shop] = upstreams;
    await scene.mapping("web", { service: web.service });
    // After its service, as Emissary spells it.
    await scene.mapping("shop", { service: shop.service, stats_name: null });
    await scene.is("True/Served");
    return scene;
  }

  constructor(
    run: StoreRun,
    emissary: Emissary,
    identity: MeshCertificate,
    settings: { readonly nudgeAfter: string; readonly touchMappings: boolean },
  ) {
    this.run = run;
    this.emissary = emissary;
    this.identity = identity;
    this.ingress = openIngress({
      api: cluster.api(cluster.access, { namespace: run.namespace }),
      emissaries: [emissarySettings.parse({ ...emissary.settings, ...settings })],
      store: run.store,
      observer: {
        ...{ served: () => undefined, reconciled: () => undefined },
        touched: () => void (this.nudges += 1),
      },
      userAgent: "attache/test",
      clock: systemClock,
      logger: createLogger("silent"),
    });
  }

  mapping(name: string, spec: object): Promise<unknown> {
    return this.apply(resources.mappings, name, {
      ...{ hostname: "*", prefix: `/${name}/`, tls: `${this.run.namespace}-edge`, stats_name: name },
      ...spec,
    });
  }

  apply(resource: Resource, name: string, spec: object): Promise<unknown> {
    return cluster.admin.apply(pathOf(resource, { namespace: this.run.namespace, name }), {
      apiVersion: "getambassador.io/v3alpha1",
      kind: resource.kind,
      metadata: { name },
      spec,
    });
  }

  /** A foreign Mapping changes. */
  churn(): Promise<unknown> {
    this.#value += 1;
    return this.mapping("other", { tls: null, prefix: `/other/${this.#value}/`, service: "127.0.0.1:9" });
  }

  /** A Mapping of another team changes every half second, until this is disposed of. */
  keepChurning(): Disposable {
    const timer = setInterval(() => void this.churn().catch(() => undefined), 500);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** Removes each annotation of attaché's from Mappings and TLSContexts, as a GitOps tool does. */
  async keepReverting(): Promise<AsyncDisposable> {
    const { access, admin } = cluster;
    const { namespace } = this.run;
    const paths = [resources.mappings, resources.tlsContexts].map((kind) => pathOf(kind, { namespace }));
    return follow(access, paths, ({ plural, after }) => {
      const { name = "", annotations } = (after?.metadata ?? {}) as { name?: string; annotations?: object };
      if (annotations === undefined || !("attache.dev/nudge" in annotations)) return;
      this.reverted += 1;
      const path = paths.find((one) => one.endsWith(plural)) ?? "";
      const without = { metadata: { annotations: { "attache.dev/nudge": null } } };
      void admin.patch(`${path}/${name}`, without).catch(() => undefined);
    });
  }

  async publish(roots: readonly Issued[], leaf: Issued): Promise<void> {
    const [first = root] = roots;
    const data: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      Opaque: { "tls.crt": base64(roots.map(({ pem }) => pem).join("")) },
      "kubernetes.io/tls": { "tls.crt": base64(leaf.pem), "tls.key": base64(leaf.keyPem) },
    };
    const target = targetOf(this.identity, "1").map((manifest): Manifest =>
      manifest.kind === "Secret" ? { ...manifest, data: data[manifest.type] ?? {} } : manifest,
    );
    const { writes } = await this.run.store.apply(this.identity, target);
    this.ingress.expect(this.identity, {
      leafNotAfter: leaf.certificate.notAfter,
      rootNotAfter: first.certificate.notAfter,
      fingerprint: [leaf, ...roots].map(({ certificate }) => certificate.fingerprint).join(),
      isWritten: writes > 0,
    });
  }

  /** Publishes the leaf of {@link leafOf}, and waits until each Envoy presents it in both clusters. */
  async publishUntilServed(hours: number): Promise<void> {
    const { pods } = this.emissary;
    const leaf = await leafOf(root, hours);
    const end = leaf.certificate.notAfter.getTime() / 1_000;
    await this.publish([root], leaf);
    await vi.waitFor(async () => {
      const shown = await Promise.all(pods.map((pod) => this.emissary.served(pod)));
      const leaves = shown.map((clusters) => [...clusters.values()].map(({ leaf: one }) => one));
      expect(leaves).toEqual(pods.map(() => [end, end]));
    }, waiting);
    await this.is("True/Served");
  }

  /** Waits until the pod has reconfigured itself for an object, such as `secrets/NAMESPACE/NAME`. */
  async reconfigured(name: string): Promise<void> {
    const [pod] = this.emissary.pods;
    const changes = () => pod?.reconfigures.flatMap((one) => one.changes);
    await vi.waitFor(() => expect(changes()).toContain(name), waiting);
  }

  async is(wanted: string, within = waiting): Promise<void> {
    await vi.waitFor(() => {
      const { status, reason, message } = this.ingress.servedOf(this.identity);
      expect(`${status}/${reason}: ${message}`).toMatch(new RegExp(`^${wanted}:`));
    }, within);
  }

  get message(): string {
    return this.ingress.servedOf(this.identity).message;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ingress[Symbol.asyncDispose]();
    await this.emissary[Symbol.asyncDispose]();
    await this.run[Symbol.asyncDispose]();
  }
}

/** Who uses what may be reported before. */
async function identityOf(run: StoreRun): Promise<MeshCertificate> {
  const event = await run.events.any();
  return event.type === "identity" ? event.identity : identityOf(run);
}

interface Torn {
  use(): Promise<unknown>;
  repair(): Promise<unknown>;
}

/** A TLSContext that nothing uses yet, with a key that does not fit its certificate. */
async function tear(scene: Scene): Promise<Torn> {
  const { namespace } = scene.run;
  const [one, other] = [await leafOf(root, 3), await leafOf(root, 4)];
  const put = (keyPem: string) =>
    cluster.admin.apply(pathOf(resources.secrets, { namespace, name: "theirs" }), {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "theirs" },
      data: { "tls.crt": base64(one.pem), "tls.key": base64(keyPem) },
    });
  await put(other.keyPem);
  await scene.apply(resources.tlsContexts, `${namespace}-theirs`, { secret: "theirs" });
  const [{ service }] = upstreams;
  return {
    use: () => scene.mapping("theirs", { tls: `${namespace}-theirs`, service }),
    repair: () => put(one.keyPem),
  };
}

describe.concurrent("with a real Envoy", () => {
  it("a rotation without churn is served without a nudge", async () => {
    await using scene = await Scene.open("30s");
    await scene.publish([root], await leafOf(root, 2));
    await scene.is("True/Served");
    expect(scene.message).toBe("1 of 1 pods, 2 of 2 clusters.");
    expect(scene.nudges).toBe(0);
  });

  it("a rotation that was lost to a Mapping is healed", async () => {
    await using scene = await Scene.open();
    await scene.churn();
    await scene.churn();
    await scene.publish([root], await leafOf(root, 2));
    await scene.is("False/NotTaken");
    await scene.is("True/Served");
    expect(scene.nudges).toBeGreaterThan(0);
    const [pod] = scene.emissary.pods;
    expect(pod?.reconfigures.at(-1)).toMatchObject({ kind: "complete", isAccepted: true });
  });

  it("new roots count as served when Envoy has them", async () => {
    await using scene = await Scene.open();
    const next = await createRoot({ notAfter: new Date(Date.UTC(2044, 0, 1)) });
    const leaf = await leafOf(root, 1);
    await scene.publish([root], leaf);
    await scene.is("True/Served");
    await scene.churn();
    await scene.churn();
    await scene.publish([next, root], leaf);
    await scene.is("False/NotTaken");
    expect(scene.message).toContain("verifies by other roots");
    await scene.is("True/Served");
  });

  it("a cluster that sends plaintext is reported, with an Event on its Mapping, until it does not", async () => {
    await using scene = await Scene.open();
    const { admin } = cluster;
    const { namespace } = scene.run;
    await admin.delete(pathOf(resources.secrets, { namespace, name: "edge-mesh-ca" }));
    const leaf = await leafOf(root, 2);
    scene.ingress.expect(scene.identity, {
      leafNotAfter: leaf.certificate.notAfter,
      rootNotAfter: root.certificate.notAfter,
      fingerprint: "gone",
      isWritten: true,
    });
    await scene.is("False/Exposed");
    await vi.waitFor(async () => {
      const { items } = await admin.get<{ items: { regarding: { name: string }; reason: string }[] }>(
        pathOf(resources.events, { namespace }),
      );
      const said = items.map(({ regarding, reason }) => `${regarding.name} ${reason}`);
      expect(said).toEqual(expect.arrayContaining(["web Exposed", "shop Exposed"]));
    }, waiting);
    await scene.publish([root], leaf);
    await scene.is("True/Served");
  });

  it("a torn pair of another client freezes it, and its repair is found by a nudge", async () => {
    await using scene = await Scene.open();
    const torn = await tear(scene);
    await torn.use();
    await scene.publish([root], await leafOf(root, 2));
    await scene.is("False/Frozen");
    await torn.repair();
    await scene.is("True/Served");
  });

  it("a torn pair of another client is noticed while all is served, and nothing is touched for it", async () => {
    await using scene = await Scene.open("10s");
    const torn = await tear(scene);
    await scene.reconfigured(`tlscontexts/${scene.run.namespace}/${scene.run.namespace}-theirs`);
    // Of a pod that has taken something since it was asked, the page does not show what it refused after that.
    await scene.publishUntilServed(2);
    await torn.use();
    // The patrol looks once a minute, and again before it says more.
    const slow = { ...waiting, timeout: 150_000 };
    await scene.is("(Unknown/Stalled|False/Frozen)", slow);
    await torn.repair();
    await scene.is("True/Served", slow);
    expect(scene.nudges).toBe(0);
  }, 360_000);

  it("every rotation is served while it is scaled from one pod to five and back, and Mappings change", async () => {
    await using scene = await Scene.open("1s", true);
    using _ = scene.keepChurning();
    const scaled = scene.emissary.scale(5);
    await scene.publish([root], await leafOf(root, 2));
    await scaled;
    await scene.publishUntilServed(3);
    await vi.waitFor(() => expect(scene.message).toBe("5 of 5 pods, 2 of 2 clusters."), waiting);
    await Promise.all([scene.publishUntilServed(4), scene.emissary.scale(1)]);
    await vi.waitFor(() => expect(scene.message).toBe("1 of 1 pods, 2 of 2 clusters."), waiting);
  }, 180_000);

  it.each([
    ["while Mappings change", true],
    ["in quiet times", false],
  ])(
    "a client that removes the annotations keeps no rotation from being served, %s",
    async (_, isChurning) => {
      await using scene = await Scene.open("1s", true);
      await using reverting = await scene.keepReverting();
      using _churn = isChurning ? scene.keepChurning() : undefined;
      for (let hours = 2; hours <= 4; hours += 1) {
        if (!isChurning) await scene.churn();
        await scene.publish([root], await leafOf(root, hours));
        await scene.is("True/Served");
      }
      expect(reverting).toBeDefined();
    },
  );

  it("pods count as they come and go", async () => {
    await using scene = await Scene.open("30s");
    await scene.emissary.scale(3);
    await scene.publish([root], await leafOf(root, 2));
    await vi.waitFor(() => expect(scene.message).toBe("3 of 3 pods, 2 of 2 clusters."), waiting);
    await scene.emissary.scale(1);
    await vi.waitFor(() => expect(scene.message).toBe("1 of 1 pods, 2 of 2 clusters."), waiting);
    expect(scene.nudges).toBe(0);
  });
});
