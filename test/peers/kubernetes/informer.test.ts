import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { KubeClient } from "../../../src/kube/client.ts";
import { type Informer, type InformerOptions, startInformer } from "../../../src/kube/informer.ts";
import { apiVersionOf, pathOf, type Resource, resources } from "../../../src/kube/resources.ts";
import type { StoreEvent } from "../../../src/store/store.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { type Gate, openGate } from "../gate.ts";
import { type Cluster, cluster, type OwnCluster, startCluster } from "./cluster.ts";
import { applyDefinitions } from "./definitions.ts";
import { startClusterPeer } from "./store-peer.ts";

const { configMaps, secrets, tlsContexts } = resources;

interface Watched extends Informer<string> {
  /** What has happened since it was synced: `+NAME`, `~NAME`, `-NAME`. */
  readonly changes: string[];
  readonly names: () => string[];
}

/** Keeps an object's label `is`, or nothing of it. */
async function watchOf(api: KubeClient, options: Partial<InformerOptions<string>> = {}): Promise<Watched> {
  const changes: string[] = [];
  const informer = startInformer<string>({
    api,
    resource: configMaps,
    reduce: ({ metadata }) => metadata.labels?.["is"],
    changed: ({ key, before, after }) => {
      const mark = before === undefined ? "+" : after === undefined ? "-" : "~";
      changes.push(mark + nameOf(key));
    },
    logger: createLogger("silent"),
    ...options,
  });
  onTestFinished(() => informer[Symbol.asyncDispose]());
  await informer.synced;
  changes.splice(0);
  return Object.assign(informer, { changes, names: () => [...informer.items.keys()].map(nameOf).sort() });
}

function nameOf(key: string): string {
  return key.replace(/^.*\//, "");
}

/** What a test does to the objects that are watched. */
function hands({ admin }: Cluster, namespace: string, resource: Resource = configMaps) {
  const path = (name?: string) => pathOf(resource, { namespace, name });
  const type = { apiVersion: apiVersionOf(resource), kind: resource.kind };
  return {
    add: (name: string, is = "new", more: object = {}) =>
      admin.create(path(), { ...type, metadata: { name, labels: { is } }, ...more }),
    edit: (name: string, is: string) => admin.patch(path(name), { metadata: { labels: { is } } }),
    remove: (name: string) => admin.delete(path(name)),
  };
}

/** Only a failure takes that long: an API server that has just come back is asked again within seconds. */
const patiently = { timeout: 60_000 };

describe("an informer of a real API server", () => {
  let shared: Cluster;
  let namespace: string;

  beforeAll(async () => {
    shared = await cluster();
    namespace = await shared.namespace();
  });

  it("tells what is there, comes, changes and goes, in the namespace that it watches", async () => {
    const other = await shared.namespace();
    const { add, edit, remove } = hands(shared, namespace);
    await add("first");
    const watched = await watchOf(shared.api(), { namespace });
    expect(watched.names()).toEqual(["first"]);
    await hands(shared, other).add("elsewhere");
    await add("second");
    await edit("first", "edited");
    await remove("second");
    await expect.poll(() => watched.changes).toEqual(["+second", "~first", "-second"]);
    expect(Object.fromEntries(watched.items)).toEqual({ [`${namespace}/first`]: "edited" });
  });

  it("watches all namespaces, and of them what has a label", async () => {
    const other = await shared.namespace();
    const watched = await watchOf(shared.api(), { labelSelector: "is=wanted" });
    await hands(shared, namespace).add("here", "wanted");
    await hands(shared, other).add("there", "wanted");
    await hands(shared, other).add("unwanted");
    await hands(shared, namespace).edit("here", "unwanted");
    await expect.poll(() => watched.changes).toEqual(["+here", "+there", "-here"]);
    expect([...watched.items.keys()]).toEqual([`${other}/there`]);
  });

  it("gets no data of a Secret when it asks for metadata", async () => {
    const seen: object[] = [];
    const watched = await watchOf(shared.api(), {
      namespace,
      resource: secrets,
      accept: "metadata",
      reduce: (object) => {
        seen.push(object);
        return object.metadata.labels?.["is"];
      },
    });
    const { add, edit } = hands(shared, namespace, secrets);
    await add("leaf", "new", { stringData: { key: "hidden" } });
    await edit("leaf", "edited");
    await expect.poll(() => watched.changes).toEqual(["+leaf", "~leaf"]);
    expect(seen.filter((object) => "data" in object)).toEqual([]);
  });

  it("says that it may not, and begins when it may", async () => {
    const { access } = await shared.serviceAccount(namespace, "watcher", []);
    const watching = watchOf(shared.api(access), { namespace });
    const rules = [{ apiGroups: [""], resources: ["configmaps"], verbs: ["list", "watch"] }];
    const role = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles/${namespace}-watcher`;
    await shared.admin.patch(role, { rules });
    expect((await watching).names()).toContain("first");
  });
});

describe("an informer whose", () => {
  let own: OwnCluster;
  let gate: Gate;
  let namespace: string;

  beforeAll(async () => {
    own = await startCluster();
    gate = await openGate(Number(new URL(own.access.server).port));
  });

  beforeEach(async () => {
    namespace = await own.namespace();
  });

  afterAll(async () => {
    await gate[Symbol.asyncDispose]();
    await own[Symbol.asyncDispose]();
  });

  const throughGate = () => own.api({ ...own.access, server: `https://127.0.0.1:${gate.port}` });

  it("watch is cut goes on where it was", async () => {
    const { add, edit, remove } = hands(own, namespace);
    await add("a");
    await add("b");
    const watched = await watchOf(throughGate(), { namespace });
    await gate.shut();
    await expect.poll(() => watched.health.state, patiently).toBe("failing");
    await edit("a", "edited");
    await remove("b");
    await add("c");
    expect(watched.names()).toEqual(["a", "b"]);
    await gate.open();
    await expect.poll(() => watched.changes, patiently).toEqual(["~a", "-b", "+c"]);
  });

  it("watch goes on knows it before anything happens", async () => {
    const watched = await watchOf(throughGate(), { namespace });
    await gate.shut();
    await expect.poll(() => watched.health.state, patiently).toBe("failing");
    await gate.open();
    await expect.poll(() => watched.health.state, patiently).toBe("synced");
    expect(watched.changes).toEqual([]);
  });

  it("version is forgotten by then compares what is there with what it has", async () => {
    const { add, edit, remove } = hands(own, namespace);
    await add("a");
    await add("b");
    const watched = await watchOf(throughGate(), { namespace });
    await gate.shut();
    await edit("a", "edited");
    await remove("b");
    await add("c");
    await own.compact();
    // It would go on from its memory otherwise.
    await own.apiServer.stop();
    await own.apiServer.start();
    await gate.open();
    await expect.poll(() => [...watched.changes].sort(), patiently).toEqual(["+c", "-b", "~a"]);
  });

  it("API server and etcd are stopped keeps what it has, and goes on when they are back", async () => {
    const { add } = hands(own, namespace);
    await add("a");
    const watched = await watchOf(own.api(), { namespace });
    await own.etcd.stop();
    await own.etcd.start();
    // The API server needs a moment to find it.
    const created = () => add("b").then(Boolean, () => watched.items.has(`${namespace}/b`));
    await expect.poll(created, patiently).toBe(true);
    await expect.poll(() => watched.changes, patiently).toEqual(["+b"]);

    await own.apiServer.stop();
    await expect.poll(() => watched.health.state, patiently).toBe("failing");
    expect(watched.names()).toEqual(["a", "b"]);
    await own.apiServer.start();
    await add("c");
    await expect.poll(() => watched.changes, patiently).toEqual(["+b", "+c"]);
  });

  it("kind is removed and returned reports both at once, again and again", async () => {
    const { add } = hands(own, namespace, tlsContexts);
    const transitions: string[] = [];
    await add("before");
    const watched = await watchOf(own.api(), {
      namespace,
      resource: tlsContexts,
      transitioned: ({ state }) => transitions.push(state),
    });
    // While the API server installs a definition it may fail a list, which is retried.
    const lasting = () => transitions.filter((state) => state !== "failing");
    expect(watched.names()).toEqual(["before"]);
    for (const [before, after] of [
      ["before", "between"],
      ["between", "after"],
    ] as const) {
      transitions.splice(0);
      watched.changes.splice(0);
      const restore = await removeDefinition("tlscontexts.getambassador.io");
      // The API server deletes the objects first.
      await expect.poll(() => watched.changes, patiently).toEqual([`-${before}`]);
      await expect.poll(lasting, patiently).toEqual(["absent"]);
      await restore();
      await add(after);
      await expect.poll(lasting, patiently).toEqual(["absent", "synced"]);
      await expect.poll(() => watched.changes, patiently).toEqual([`-${before}`, `+${after}`]);
    }
  });

  it("kind is removed and returned has the store warn when it goes, and read what is there when it is back", async () => {
    const peer = await startClusterPeer(own);
    const store = await peer.open();
    const over = new AbortController();
    onTestFinished(async () => {
      over.abort();
      await store[Symbol.asyncDispose]();
    });
    const events: StoreEvent[] = [];
    void (async () => {
      for await (const event of store.watch(over.signal)) events.push(event);
    })().catch(() => undefined);
    await expect.poll(() => events, patiently).toMatchObject([{ type: "synced" }]);
    const restore = await removeDefinition("meshcertificates.attache.dev");
    const warning = { type: "invalid", error: { code: "ATTACHE_STORE_UNREADABLE" } };
    await expect.poll(() => events[1], patiently).toMatchObject(warning);
    await restore();
    await peer.put(`${peer.namespace}/web`, { consul: { service: "web" } });
    // While the API server installs the definition it may fail a list, of which the store warns, too.
    await expect
      .poll(() => events.slice(1).filter(({ type }) => type !== "invalid"), patiently)
      .toMatchObject([{ type: "identity", identity: { metadata: { name: "web" } } }]);
  });

  /** Resolves when the API server has forgotten the definition, with what installs it again. */
  async function removeDefinition(name: string): Promise<() => Promise<void>> {
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
    const { apiVersion, kind, spec } = await own.admin.get(path);
    await own.admin.delete(path);
    await expect.poll(async () => (await own.admin.call("GET", path)).status, patiently).toBe(404);
    return () => applyDefinitions(own.admin, JSON.stringify({ apiVersion, kind, metadata: { name }, spec }));
  }

  it("API server does not stream lists reads them in pages", async () => {
    await own.apiServer.stop();
    await own.apiServer.start("--feature-gates=WatchList=false");
    const { add } = hands(own, namespace);
    const names = Array.from({ length: 600 }, (_, i) => `many-${i}`);
    await Promise.all(names.map((name) => add(name)));
    const watched = await watchOf(own.api(), { namespace });
    expect(watched.names()).toEqual(names.sort());
    await add("last");
    await expect.poll(() => watched.changes, patiently).toEqual(["+last"]);
  });
});
