import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createLeaf, createRoot, type Issued } from "../fixtures/pki.ts";
import { type Cluster, cluster as sharedCluster } from "../peers/kubernetes/cluster.ts";
import { type Emissary, endsIn, startEmissary } from "./emissary.ts";
import type { EnvoyPeer } from "./envoy-process.ts";
import type { Reconfigure } from "./pod.ts";
import { startUpstream, type Shown, type Upstream } from "./upstream.ts";

/** Only a failure takes so long. */
const waiting = { timeout: 10_000, interval: 25 };
const base64 = (text: string) => Buffer.from(text).toString("base64");

let cluster: Cluster;
let root: Issued;
let upstream: Upstream;
/** Another one, for another cluster. */
let second: Upstream;
/** What is published at first. */
let first: Issued;

beforeAll(async () => {
  cluster = await sharedCluster();
  root = await createRoot();
  first = await leaf(0);
  upstream = await startUpstream(root, await createLeaf(root));
  second = await startUpstream(root, await createLeaf(root));
});
afterAll(async () => {
  await upstream[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
});

/** A leaf that ends as many hours before all others. */
function leaf(hours: number): Promise<Issued> {
  return createLeaf(root, { notAfter: new Date(Date.UTC(2040, 0, 1, hours)) });
}

function endOf({ certificate }: Issued): number {
  return certificate.notAfter.getTime() / 1_000;
}

/**
 * An Emissary, and what was published for it: `web` and `shop` use the context `mesh`, `other` has
 * nothing to do with it.
 */
class Scene implements AsyncDisposable {
  readonly emissary: Emissary;
  readonly namespace: string;
  #value = 0;
  #churned = "other";

  static async open(envoy: EnvoyPeer = "envoy"): Promise<Scene> {
    const namespace = await cluster.namespace();
    const { access, admin } = cluster;
    await admin.create(`/api/v1/namespaces/${namespace}/secrets`, {
      metadata: { name: "unrelated" },
    });
    const scene = new Scene(namespace, await startEmissary({ access, admin, namespace, envoy }));
    await scene.secret("mesh-ca", { "tls.crt": root.pem });
    await scene.publish(first);
    await scene.apply("tlscontexts", "TLSContext", "mesh", { secret: "mesh-cert", ca_secret: "mesh-ca" });
    for (const [name, spec] of Object.entries({
      web: { service: upstream.service, tls: "mesh", stats_name: "web" },
      shop: { service: second.service, tls: "mesh", stats_name: "shop" },
      other: { service: "127.0.0.1:9" },
    })) {
      await scene.mapping(name, spec);
    }
    const taken = () => scene.pod.reconfigures.flatMap(({ changes }) => changes);
    await vi.waitFor(() => expect(taken()).toContain(`mappings/${namespace}/other`), waiting);
    await scene.serves({ web: first, shop: first });
    return scene;
  }

  constructor(namespace: string, emissary: Emissary) {
    this.namespace = namespace;
    this.emissary = emissary;
  }

  get pod() {
    const [pod] = this.emissary.pods;
    if (pod === undefined) throw new Error("there is no pod");
    return pod;
  }

  path(plural: string, name: string): string {
    const isCore = plural === "secrets" || plural === "services";
    const group = isCore ? "/api/v1" : "/apis/getambassador.io/v3alpha1";
    return `${group}/namespaces/${this.namespace}/${plural}/${name}`;
  }

  apply(plural: string, kind: string, name: string, spec: object): Promise<unknown> {
    const apiVersion = "getambassador.io/v3alpha1";
    return cluster.admin.apply(this.path(plural, name), { apiVersion, kind, metadata: { name }, spec });
  }

  mapping(name: string, spec: object): Promise<unknown> {
    return this.apply("mappings", "Mapping", name, { hostname: "*", prefix: `/${name}/`, ...spec });
  }

  secret(name: string, texts: Readonly<Record<string, string>>): Promise<unknown> {
    const data = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, base64(text)]));
    return cluster.admin.apply(this.path("secrets", name), {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name },
      data,
    });
  }

  publish({ pem, keyPem }: Issued): Promise<unknown> {
    return this.secret("mesh-cert", { "tls.crt": pem, "tls.key": keyPem });
  }

  /** Changes an annotation. */
  touch(plural: string, name: string): Promise<unknown> {
    const annotations = { touched: this.#next() };
    return cluster.admin.patch(this.path(plural, name), { metadata: { annotations } });
  }

  /** Changes a Mapping that no context has to do with. */
  churn(): Promise<unknown> {
    this.#churned = this.#next();
    return cluster.admin.patch(this.path("mappings", "other"), { spec: { prefix: `/${this.#churned}/` } });
  }

  /** Changes a Mapping that uses the context. */
  respell(name: string): Promise<unknown> {
    const prefix = `/${name}/${this.#next()}/`;
    return cluster.admin.patch(this.path("mappings", name), { spec: { prefix } });
  }

  /** Publishes a leaf that Emissary does not serve. */
  async lose(): Promise<Issued> {
    const next = await leaf(1);
    await this.withMapping(() => this.publish(next));
    await this.serves({ web: first, shop: first });
    return next;
  }

  /** The reconfigure that takes up what `write` changes. */
  async after(write: () => Promise<unknown>): Promise<Reconfigure> {
    const { reconfigures } = this.pod;
    const before = reconfigures.length;
    await write();
    const taken = await vi.waitUntil(() => reconfigures[before], waiting);
    if (taken.isAccepted) await this.#isInForce();
    return taken;
  }

  /**
   * The reconfigure of a snapshot that has both: a Mapping changes before and after, and whenever Emissary looks
   * in between, it sees one of them with what `write` changes.
   * @param write changes one object.
   */
  async withMapping(
    write: () => Promise<unknown>,
    mapping: () => Promise<unknown> = () => this.churn(),
  ): Promise<Reconfigure> {
    const { reconfigures } = this.pod;
    const before = reconfigures.length;
    for (const change of [() => this.churn(), mapping, write, mapping]) await change();
    const both = await vi.waitUntil(() => {
      const all = reconfigures.slice(before);
      if (all.flatMap(({ changes }) => changes).length < 4) return undefined;
      return all.find(({ changes }) => changes.some((one) => !one.startsWith("mappings/")));
    }, waiting);
    expect(both.changes.length).toBeGreaterThan(1);
    if (both.isAccepted) await this.#isInForce();
    return both;
  }

  /** Waits for the routes of the last {@link churn}, which Envoy reads after the clusters. */
  async #isInForce(): Promise<void> {
    await vi.waitFor(async () => expect(await this.shown(`/${this.#churned}/`)).toBe("503"), waiting);
  }

  /** Waits until the clusters show the ends of these leaves. */
  async serves(expected: Readonly<Record<string, Issued>>): Promise<void> {
    const ends = Object.entries(expected).map(([name, issued]) => [name, endOf(issued)]);
    await vi.waitFor(async () => {
      const served = [...(await this.emissary.served())].map(([name, { leaf }]) => [name, leaf]);
      expect(Object.fromEntries(served)).toEqual(Object.fromEntries(ends));
    }, waiting);
  }

  async shown(path: string): Promise<Shown | string> {
    const answer = await this.emissary.request(path);
    return answer.ok ? ((await answer.json()) as Shown) : `${answer.status}`;
  }

  #next(): string {
    this.#value += 1;
    return String(this.#value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.emissary[Symbol.asyncDispose]();
  }
}

describe.concurrent("a leaf Secret that changes", () => {
  it("alone is served by every cluster at once", async () => {
    await using scene = await Scene.open();
    const next = await leaf(1);
    expect(await scene.after(() => scene.publish(next))).toMatchObject({ kind: "complete" });
    await scene.serves({ web: next, shop: next });
  });

  it("in one snapshot with an unrelated Mapping is lost, six times of six", async () => {
    await using scene = await Scene.open();
    for (let i = 1; i <= 6; i += 1) {
      const next = await leaf(i);
      const change = await scene.withMapping(() => scene.publish(next));
      expect(change).toMatchObject({ kind: "incremental", isAccepted: true });
      await scene.serves({ web: first, shop: first });
    }
  });

  it("in one snapshot with a Mapping that uses its context is split: only that one's cluster has it", async () => {
    await using scene = await Scene.open();
    const next = await leaf(1);
    await scene.withMapping(
      () => scene.publish(next),
      () => scene.respell("shop"),
    );
    await scene.serves({ web: first, shop: next });
  });
});

describe.concurrent("a leaf Secret that was lost", () => {
  it.each<[string, (scene: Scene) => Promise<unknown>]>([
    ["an annotation on the TLSContext", (scene) => scene.touch("tlscontexts", "mesh")],
    ["an annotation on the Secret", (scene) => scene.touch("secrets", "mesh-cert")],
    ["a change of any Secret", (scene) => scene.touch("secrets", "unrelated")],
  ])("is healed by %s", async (_, heal) => {
    await using scene = await Scene.open();
    const next = await scene.lose();
    expect(await scene.after(() => heal(scene))).toMatchObject({ kind: "complete" });
    await scene.serves({ web: next, shop: next });
  });

  it("is healed by an annotation on a Mapping, for its own cluster alone", async () => {
    await using scene = await Scene.open();
    const next = await scene.lose();
    expect(await scene.after(() => scene.touch("mappings", "web"))).toMatchObject({ kind: "incremental" });
    await scene.serves({ web: next, shop: first });
    await scene.after(() => scene.touch("mappings", "shop"));
    await scene.serves({ web: next, shop: next });
  });

  it("is not healed by an annotation on the TLSContext that shares its snapshot with a Mapping", async () => {
    await using scene = await Scene.open();
    const next = await scene.lose();
    await scene.withMapping(() => scene.touch("tlscontexts", "mesh"));
    await scene.serves({ web: first, shop: first });
    await scene.after(() => scene.touch("tlscontexts", "mesh"));
    await scene.serves({ web: next, shop: next });
  });
});

describe.concurrent("a Secret that cannot be used", () => {
  it("and is gone leaves its Mappings in plaintext at once, and their series away", async () => {
    await using scene = await Scene.open();
    expect(await scene.shown("/web/hello")).toMatchObject({ path: "/hello", isTls: true });
    await cluster.admin.delete(scene.path("secrets", "mesh-ca"));
    const before = upstream.tap.plaintext;
    await vi.waitFor(async () => expect(await scene.shown("/web/")).toMatchObject({ isTls: false }), waiting);
    expect(upstream.tap.plaintext).toBeGreaterThan(before);
    await scene.serves({});
  });

  it("leaves a Mapping with https:// encrypted, and anonymous", async () => {
    await using scene = await Scene.open();
    const service = `https://${upstream.service}`;
    await scene.after(() => scene.mapping("web", { service, tls: "mesh", stats_name: "web" }));
    await scene.serves({ web: first, shop: first });
    await cluster.admin.delete(scene.path("secrets", "mesh-cert"));
    await vi.waitFor(
      async () => expect(await scene.shown("/web/")).toMatchObject({ isTls: true, serialNumber: "" }),
      waiting,
    );
    await scene.serves({});
  });

  it("for its key freezes all configuration, also after the repair if a Mapping shares it, until the TLSContext is touched", async () => {
    await using scene = await Scene.open();
    const [next, other] = [await leaf(1), await leaf(2)];
    const frozen = await scene.after(() => scene.publish({ ...next, keyPem: other.keyPem }));
    expect(frozen).toMatchObject({ kind: "complete", isAccepted: false });
    expect(await scene.after(() => scene.churn())).toMatchObject({ isAccepted: false });
    const repaired = await scene.withMapping(() => scene.publish(next));
    expect(repaired).toMatchObject({ kind: "incremental", isAccepted: false });
    await scene.serves({ web: first, shop: first });
    expect(await scene.shown("/web/")).toMatchObject({ serialNumber: serialOf(first) });
    expect(await scene.after(() => scene.touch("tlscontexts", "mesh"))).toMatchObject({ isAccepted: true });
    await scene.serves({ web: next, shop: next });
  });
});

describe.concurrent("what Envoy refuses freezes all configuration", () => {
  it.each<[string, object]>([
    ["alpn_protocols with an empty element", { alpn_protocols: "h2," }],
    ["alpn_protocols of more than 255 bytes", { alpn_protocols: "a".repeat(256) }],
    ["an sni of more than 255 bytes", { sni: "a".repeat(256) }],
    ["a cipher suite that it does not know", { cipher_suites: ["NULL-SHA"] }],
    ["a curve that it does not know", { ecdh_curves: ["secp256k1"] }],
    ["cert_required, which no upstream has", { cert_required: true }],
  ])("%s", async (_, fields) => {
    await using scene = await Scene.open();
    const sound = { secret: "mesh-cert", ca_secret: "mesh-ca" };
    const refused = await scene.after(() =>
      scene.apply("tlscontexts", "TLSContext", "mesh", { ...sound, ...fields }),
    );
    expect(refused).toMatchObject({ kind: "complete", isAccepted: false });
    const next = await leaf(1);
    expect(await scene.after(() => scene.publish(next))).toMatchObject({ isAccepted: false });
    await scene.serves({ web: first, shop: first });
    const repaired = await scene.after(() => scene.apply("tlscontexts", "TLSContext", "mesh", sound));
    expect(repaired).toMatchObject({ isAccepted: true });
    await scene.serves({ web: next, shop: next });
  });

  it("a torn pair that a Host presents", async () => {
    await using scene = await Scene.open();
    const [one, other] = [await leaf(1), await leaf(2)];
    const put = (keyPem: string) => scene.secret("unrelated", { "tls.crt": one.pem, "tls.key": keyPem });
    await scene.after(() => put(other.keyPem));
    const spec = { hostname: "shop.example", tlsSecret: { name: "unrelated" } };
    const refused = await scene.after(() => scene.apply("hosts", "Host", "shop", spec));
    expect(refused).toMatchObject({ isAccepted: false });
    expect(await scene.after(() => put(one.keyPem))).toMatchObject({ isAccepted: true });
  });
});

describe.concurrent("a Mapping in the annotation of a Service", () => {
  const annotate = (scene: Scene, prefix: string) =>
    cluster.admin.apply(scene.path("services", "annotated"), {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: "annotated",
        annotations: {
          "getambassador.io/config": `---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
name: annotated
hostname: "*"
prefix: ${prefix}
service: ${second.service}
tls: mesh
stats_name: shop
`,
        },
      },
      spec: { ports: [{ port: 80 }] },
    });

  it("is one, and a change of the Service a complete reconfigure", async () => {
    await using scene = await Scene.open();
    expect(await scene.after(() => annotate(scene, "/annotated/"))).toMatchObject({ kind: "complete" });
    expect(await scene.shown("/annotated/x")).toMatchObject({ path: "/x", isTls: true });
  });

  it("does not heal its cluster, nor change, in a snapshot with another Mapping", async () => {
    await using scene = await Scene.open();
    await scene.after(() => annotate(scene, "/annotated/"));
    await scene.lose();
    const shared = await scene.withMapping(() => annotate(scene, "/other/annotated/"));
    expect(shared).toMatchObject({ kind: "incremental" });
    expect(await scene.shown("/annotated/x")).toMatchObject({ serialNumber: serialOf(first) });
  });
});

it("the nearest Envoy to that of release 4.1.0 does the same", async () => {
  await using scene = await Scene.open("envoy-1.37");
  const next = await scene.lose();
  await scene.after(() => scene.touch("mappings", "web"));
  await scene.serves({ web: next, shop: first });
  await scene.after(() => scene.touch("tlscontexts", "mesh"));
  await scene.serves({ web: next, shop: next });
  await cluster.admin.delete(scene.path("secrets", "mesh-ca"));
  await scene.serves({});
});

describe.concurrent("an Emissary of several pods", () => {
  it("tells the API server where they are, each with a page of its own", async () => {
    await using scene = await Scene.open();
    const { emissary, namespace } = scene;
    for (const count of [3, 1]) {
      await emissary.scale(count);
      const { items } = await cluster.admin.get<{ items: Slice[] }>(
        `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
      );
      const hosts = items.flatMap(({ endpoints }) => endpoints.flatMap(({ addresses }) => addresses));
      expect(hosts).toEqual(emissary.pods.map(({ host }) => host));
      expect(hosts).toHaveLength(count);
      for (const pod of emissary.pods) {
        const page = await emissary.page(pod);
        expect(endsIn(page).get("web")?.leaf).toBe(endOf(first));
        expect(page).toMatch(/^ambassador_reconfiguration_time_seconds \d+\.\d+$/m);
        expect(page).toMatch(/^envoy_server_uptime\{\} \d+$/m);
      }
    }
  });
});

interface Slice {
  readonly endpoints: readonly { readonly addresses: readonly string[] }[];
}

function serialOf({ certificate }: Issued): string {
  return certificate.serialNumber.toUpperCase();
}
