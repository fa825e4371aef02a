import { expect, vi } from "vitest";
import { type AttacheProcess, startAttacheProcess } from "./attache-process.ts";
import { type Cluster, cluster } from "./cluster.ts";
import { type Signer, startSigner } from "./signer.ts";
import type { Resource } from "./rest.ts";

/** Only a failure takes so long. */
export const longWait = { timeout: 60_000, interval: 100 };

/**
 * Two namespaces, attaché's own with three MeshCertificates and another one, and attachés that serve both.
 */
export class Stage implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #kubeconfig: string;
  readonly cluster: Cluster;
  readonly namespace: string;
  /** Of another team. */
  readonly other: string;
  readonly signer: Signer;
  /** Of the MeshCertificates in attaché's namespace, and of their services. */
  readonly names: readonly string[];

  /** @param own by default the cluster that all tests share. */
  static async open(own?: Cluster): Promise<Stage> {
    const shared = own ?? (await cluster());
    const namespace = await shared.namespace();
    const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
    const { kubeconfig } = await shared.serviceAccount(namespace, "attache", [everything], { in: "*" });
    const stage = new Stage(
      shared,
      { namespace, other: await shared.namespace(), kubeconfig },
      await startSigner(),
    );
    for (const name of stage.names) await stage.create(name);
    return stage;
  }

  constructor(
    shared: Cluster,
    at: { readonly namespace: string; readonly other: string; readonly kubeconfig: string },
    signer: Signer,
  ) {
    this.cluster = shared;
    this.#kubeconfig = at.kubeconfig;
    this.namespace = at.namespace;
    this.other = at.other;
    this.signer = this.#stack.use(signer);
    this.names = ["a", "b", "c"].map((name) => `${at.namespace}-${name}`);
  }

  async start(options: StageSettings = {}): Promise<AttacheProcess> {
    return this.startWith(this.settings(options));
  }

  /** With settings that differ from those of {@link settings}. */
  async startWith(settings: object): Promise<AttacheProcess> {
    return this.#stack.use(await startAttacheProcess(settings));
  }

  settings({
    leaseDuration = "15s",
    installation = "attache",
    mesh = "signer",
    allow,
  }: StageSettings = {}): object {
    const kubernetes = {
      namespaces: [this.namespace, this.other],
      kubeconfig: this.#kubeconfig,
      leaderElection: { leaseDuration },
    };
    return {
      installation,
      meshes: { [mesh]: { adapter: "attache-signer", url: this.signer.url } },
      store: { kind: "kubernetes", kubernetes },
      ...(allow && { allow }),
    };
  }

  create(name: string, spec: object = {}, namespace = this.namespace): Promise<Resource> {
    return this.cluster.admin.create(meshCertificates(namespace), {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name },
      spec: { mesh: "signer", plugin: { service: name }, ...spec },
    });
  }

  renew(name: string, value: string): Promise<Resource> {
    const annotations = { "attache.dev/renew": value };
    return this.cluster.admin.patch(`${meshCertificates(this.namespace)}/${name}`, {
      metadata: { annotations },
    });
  }

  identity(name: string, namespace = this.namespace): Promise<Resource & { readonly status?: Reported }> {
    return this.cluster.admin.get(`${meshCertificates(namespace)}/${name}`);
  }

  /** Waits until the condition reads `STATUS/REASON`; resolves with its message. */
  until(type: string, is: string, name: string, namespace = this.namespace): Promise<string> {
    return vi.waitFor(async () => {
      const { status } = await this.identity(name, namespace);
      const found = status?.conditions.find((condition) => condition.type === type);
      expect(`${name} ${type} ${found?.status ?? ""}/${found?.reason ?? ""}`).toBe(`${name} ${type} ${is}`);
      return found?.message ?? "";
    }, longWait);
  }

  async untilReady(names: readonly string[] = this.names): Promise<void> {
    for (const name of names) {
      await this.until("Ready", "True/Valid", name);
      await this.until("SourceReady", "True/Received", name);
    }
  }

  /** All MeshCertificates, Secrets and TLSContexts, in one of the namespaces or both. */
  objects(namespaces: readonly string[] = [this.namespace, this.other]): Promise<Found[]> {
    return this.#all(
      namespaces.flatMap((namespace) => [
        meshCertificates(namespace),
        `/api/v1/namespaces/${namespace}/secrets`,
        `/apis/getambassador.io/v3alpha1/namespaces/${namespace}/tlscontexts`,
      ]),
    );
  }

  /** They come when the objects have been written, and some time after. */
  events(): Promise<Found[]> {
    return this.#all(
      [this.namespace, this.other].map(
        (namespace) => `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
      ),
    );
  }

  async #all(paths: readonly string[]): Promise<Found[]> {
    const lists = await Promise.all(
      paths.map(async (path) => {
        const { items } = await this.cluster.admin.get<{ items: Resource[] }>(path);
        return items.map((object) => ({ path: `${path}/${object.metadata.name}`, object }));
      }),
    );
    return lists.flat();
  }

  holder(installation: string): Promise<string | undefined> {
    return this.cluster.admin
      .get<{ spec: { holderIdentity?: string } }>(
        `/apis/coordination.k8s.io/v1/namespaces/${this.namespace}/leases/attache-${installation}`,
      )
      .then(({ spec }) => spec.holderIdentity);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

export interface StageSettings {
  readonly leaseDuration?: string;
  readonly installation?: string;
  /** What the mesh is called. */
  readonly mesh?: string;
  readonly allow?: readonly object[];
}

export interface Found {
  readonly path: string;
  readonly object: Resource;
}

interface Reported {
  readonly conditions: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message: string;
  }[];
  readonly lastRenewRequest?: string;
  readonly serialNumber?: string;
  readonly usedByCount?: number;
}

function meshCertificates(namespace: string): string {
  return `/apis/attache.dev/v1alpha1/namespaces/${namespace}/meshcertificates`;
}
