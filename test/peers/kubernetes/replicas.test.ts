import { describe, expect, it, vi } from "vitest";
import { type AttacheProcess, startAttacheProcess } from "./attache-process.ts";
import { type Cluster, cluster } from "./cluster.ts";
import { type Signer, startSigner } from "./signer.ts";
import type { Resource } from "./rest.ts";

const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
const patience = { timeout: 60_000, interval: 100 };

/** A namespace with three MeshIdentities, and attachés that serve it. */
class Stage implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #cluster: Cluster;
  readonly #kubeconfig: string;
  readonly namespace: string;
  readonly signer: Signer;
  readonly names: readonly string[];

  static async open(): Promise<Stage> {
    const shared = await cluster();
    const namespace = await shared.namespace();
    const { kubeconfig } = await shared.serviceAccount(namespace, "attache", [everything], { in: "*" });
    const stage = new Stage(shared, namespace, kubeconfig, await startSigner());
    for (const name of stage.names) await stage.create(name);
    return stage;
  }

  constructor(shared: Cluster, namespace: string, kubeconfig: string, signer: Signer) {
    this.#cluster = shared;
    this.#kubeconfig = kubeconfig;
    this.namespace = namespace;
    this.signer = this.#stack.use(signer);
    this.names = ["a", "b", "c"].map((name) => `${namespace}-${name}`);
  }

  async start({ leaseDuration = "5s", installation = "attache", mesh = "signer" } = {}) {
    const kubernetes = {
      namespaces: [this.namespace],
      kubeconfig: this.#kubeconfig,
      leaderElection: { leaseDuration },
    };
    const settings = {
      installation,
      meshes: { [mesh]: { adapter: "attache-signer", url: this.signer.url } },
      store: { kind: "kubernetes", kubernetes },
    };
    return this.#stack.use(await startAttacheProcess(settings));
  }

  create(name: string, spec: object = {}): Promise<Resource> {
    return this.#cluster.admin.create(this.#path(), {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshIdentity",
      metadata: { name },
      spec: { mesh: "signer", plugin: { service: name }, ...spec },
    });
  }

  renew(name: string, value: string): Promise<Resource> {
    const annotations = { "attache.dev/renew": value };
    return this.#cluster.admin.patch(`${this.#path()}/${name}`, { metadata: { annotations } });
  }

  identity(name: string): Promise<Resource & { readonly status?: Reported }> {
    return this.#cluster.admin.get(`${this.#path()}/${name}`);
  }

  /** The field managers of a MeshIdentity and of what is published for it. */
  async managers(name: string): Promise<string> {
    const namespaced = (group: string, plural: string) => `${group}/namespaces/${this.namespace}/${plural}`;
    const objects = await Promise.all(
      [
        `${this.#path()}/${name}`,
        namespaced("/api/v1", `secrets/${name}-mesh-cert`),
        namespaced("/api/v1", `secrets/${name}-mesh-ca`),
        namespaced("/apis/getambassador.io/v3alpha1", `tlscontexts/${name}`),
      ].map((path) => this.#cluster.admin.call("GET", path)),
    );
    return objects
      .map(({ body }) => (body as Partial<Resource>).metadata?.["managedFields"])
      .flatMap((fields) => (fields ?? []) as { manager: string }[])
      .map(({ manager }) => manager)
      .join();
  }

  /** The resourceVersion of each object, which every write raises. */
  async versions(): Promise<Readonly<Record<string, string>>> {
    const paths = [
      this.#path(),
      `/api/v1/namespaces/${this.namespace}/secrets`,
      `/apis/getambassador.io/v3alpha1/namespaces/${this.namespace}/tlscontexts`,
    ];
    const lists = await Promise.all(
      paths.map((path) => this.#cluster.admin.get<{ items: Resource[] }>(path)),
    );
    const items = lists.flatMap((list, index) => list.items.map((item) => [index, item.metadata] as const));
    return Object.fromEntries(
      items.map(([index, { name, resourceVersion }]) => [`${index}/${name}`, resourceVersion]),
    );
  }

  holder(installation = "attache"): Promise<string | undefined> {
    return this.#cluster.admin
      .get<{ spec: { holderIdentity?: string } }>(
        `/apis/coordination.k8s.io/v1/namespaces/${this.namespace}/leases/attache-${installation}`,
      )
      .then(({ spec }) => spec.holderIdentity);
  }

  async untilReady(names: readonly string[] = this.names): Promise<void> {
    for (const name of names) {
      await vi.waitFor(async () => {
        const { status } = await this.identity(name);
        const isTrue = (type: string) =>
          status?.conditions.some((condition) => condition.type === type && condition.status === "True");
        expect([name, isTrue("Ready"), isTrue("SourceReady")]).toEqual([name, true, true]);
      }, patience);
    }
  }

  #path(): string {
    return `/apis/attache.dev/v1alpha1/namespaces/${this.namespace}/meshidentities`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

interface Reported {
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
  readonly lastRenewRequest?: string;
}

async function leaderOf(replicas: readonly AttacheProcess[]): Promise<AttacheProcess> {
  return vi.waitFor(async () => {
    const leads = await Promise.all(replicas.map((replica) => replica.metric("attache_leader")));
    const [leader, second] = replicas.filter((_, index) => leads[index] === 1);
    expect(second).toBeUndefined();
    if (leader === undefined)
      throw new Error(`nobody leads: ${replicas.map((one) => one.output()).join("\n")}`);
    return leader;
  }, patience);
}

/** Shows that `successor` has looked at everything, asked for nothing and written nothing. */
async function goesOn(
  stage: Stage,
  successor: AttacheProcess,
  before: Awaited<ReturnType<typeof published>>,
) {
  await leaderOf([successor]);
  await vi.waitFor(
    async () =>
      expect(await successor.metric("attache_store_unchanged_total")).toBeGreaterThanOrEqual(
        stage.names.length,
      ),
    patience,
  );
  expect(await published(stage)).toEqual(before);
  expect(await successor.metric("attache_store_writes_total")).toBe(0);
  await stage.renew(stage.names[0] ?? "", "after the change");
  await vi.waitFor(
    async () =>
      expect((await stage.identity(stage.names[0] ?? "")).status?.lastRenewRequest).toBe("after the change"),
    patience,
  );
  expect(stage.signer.asked).toEqual([...before.asked, stage.names[0]]);
}

async function published(stage: Stage) {
  return { versions: await stage.versions(), asked: [...stage.signer.asked] };
}

describe("of two replicas", () => {
  it("the other one goes on when the leader is killed, asks for nothing and writes nothing", async () => {
    await using stage = await Stage.open();
    const first = await stage.start();
    await leaderOf([first]);
    const second = await stage.start();
    await stage.untilReady();
    await vi.waitFor(async () => expect(await second.probe("/readyz")).toBe(200), patience);
    expect(await second.metric("attache_identities")).toBe(0);
    const before = await published(stage);
    first.signal("SIGKILL");
    await first.ended;
    await goesOn(stage, second, before);
  });

  it("the leader hands over at once on SIGTERM, however long the lease is", async () => {
    await using stage = await Stage.open();
    const first = await stage.start({ leaseDuration: "600s" });
    await leaderOf([first]);
    const second = await stage.start({ leaseDuration: "600s" });
    await stage.untilReady();
    await vi.waitFor(async () => expect(await second.probe("/readyz")).toBe(200), patience);
    const before = await published(stage);
    first.signal("SIGTERM");
    expect(await first.ended).toBe(0);
    await goesOn(stage, second, before);
  });

  it("one that slept through its end wakes up with a credential in hand, and changes nothing", async () => {
    await using stage = await Stage.open();
    const [name = ""] = stage.names;
    const first = await stage.start();
    await leaderOf([first]);
    await stage.untilReady();
    const second = await stage.start();
    await vi.waitFor(async () => expect(await second.probe("/readyz")).toBe(200), patience);
    const { length } = stage.signer.asked;
    const release = stage.signer.hold();
    await stage.renew(name, "while it falls asleep");
    await vi.waitFor(() => expect(stage.signer.asked).toHaveLength(length + 1), patience);
    first.signal("SIGSTOP");
    await leaderOf([second]);
    // The answer waits for the sleeper; the successor asks for itself.
    await vi.waitFor(() => expect(stage.signer.asked).toHaveLength(length + 2), patience);
    release();
    await vi.waitFor(
      async () => expect((await stage.identity(name)).status?.lastRenewRequest).toBe("while it falls asleep"),
      patience,
    );
    await stage.untilReady();
    const before = await published(stage);
    first.signal("SIGCONT");
    await vi.waitFor(async () => expect(await first.metric("attache_leader")).toBe(0), patience);
    await vi.waitFor(async () => expect(await first.probe("/readyz")).toBe(200), patience);
    expect(await second.metric("attache_leader")).toBe(1);
    expect(await published(stage)).toEqual(before);
  });
});

describe("of two installations in one cluster", () => {
  it("each serves what is its own, and leaves the other's alone", async () => {
    await using stage = await Stage.open();
    const named = `${stage.namespace}-named`;
    const others = `${stage.namespace}-others`;
    await stage.create(named, { installation: "edge" });
    await stage.create(others, { mesh: "signer-edge" });
    await stage.start();
    await stage.start({ installation: "edge", mesh: "signer-edge" });
    await stage.untilReady([...stage.names, others]);
    // It names an installation that does not have its mesh: that one says so, and nobody else.
    await vi.waitFor(
      async () =>
        expect((await stage.identity(named)).status?.conditions).toContainEqual(
          expect.objectContaining({ type: "SourceReady", reason: "Unknown" }),
        ),
      patience,
    );
    expect([await stage.holder("attache"), await stage.holder("edge")]).toEqual([
      expect.any(String),
      expect.any(String),
    ]);
    expect(await stage.managers(stage.names[0] ?? "")).not.toContain("edge");
    expect(await stage.managers(others)).not.toContain("attache.dev/attache");
    expect(await stage.managers(named)).not.toContain("attache.dev/attache");
  });
});
