import { X509Certificate } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { MetricsPage } from "../../src/emissary/metrics-page.ts";
import { pathOf, resources } from "../../src/kube/resources.ts";
import { type Compiled, compile, type UpstreamCluster, type World } from "../e2e/compile.ts";
import type { Followed } from "../e2e/follow.ts";
import type { StoreCluster } from "../peers/kubernetes/store-peer.ts";

const watched = ["mappings", "tlsContexts", "secrets"] as const;

/**
 * A pod of Emissary-ingress without Envoy: what it would have loaded, by the rules of test/e2e/compile.ts.
 * When it looks at what has changed is up to the model; if a Mapping has, it looks at nothing else.
 */
export class Pod {
  readonly #admin: StoreCluster["admin"];
  readonly #namespace: string;
  #compiled: Compiled = new Map();
  #hasNews = true;
  /** Keys of Mappings, as `compile` has them, that have changed since the last snapshot. */
  readonly #mappings = new Set<string>();
  #updates = 0;
  #isStarted = false;

  constructor({ admin }: StoreCluster, namespace: string) {
    this.#admin = admin;
    this.#namespace = namespace;
  }

  /** Whether there is anything that the last snapshot has not. */
  get hasNews(): boolean {
    return this.#hasNews;
  }

  get clusters(): readonly UpstreamCluster[] {
    return [...this.#compiled.values()].map(({ cluster }) => cluster);
  }

  /** An object has changed. */
  sees(plural: string, name: string): void {
    if (!watched.some((kind) => resources[kind].plural === plural)) return;
    this.#hasNews = true;
    if (plural === "mappings") this.#mappings.add(`mappings/${this.#namespace}/${name}`);
  }

  async takeSnapshot(): Promise<void> {
    const isComplete = !this.#isStarted || this.#mappings.size === 0;
    this.#isStarted = true;
    const world = await this.#world();
    this.#compiled = isComplete
      ? compile(world, "default")
      : compile(world, "default", this.#compiled, new Set(this.#mappings));
    this.#mappings.clear();
    this.#hasNews = false;
    this.#updates += 1;
  }

  /** Whether it has loaded all as it is now. */
  async isUpToDate(): Promise<boolean> {
    return isDeepStrictEqual([...this.#compiled], [...compile(await this.#world(), "default")]);
  }

  page(wanted: ReadonlySet<string>): MetricsPage {
    const clusters = this.clusters.filter(({ statsName }) => wanted.has(statsName));
    return {
      ...{ hasEnvoy: true, hasCertificates: true, bytes: 1_000 },
      reconfigurationMs: 100,
      updates: this.#updates,
      clusters: new Map(
        clusters.map(({ statsName, tls }) => [
          statsName,
          {
            leaves: endsOf(tls?.pair?.certificate.text),
            roots: endsOf(tls?.ca?.text),
            hasTls: tls !== undefined,
          },
        ]),
      ),
    };
  }

  async #world(): Promise<World> {
    const lists = watched.map(async (kind) => {
      const path = pathOf(resources[kind], { namespace: this.#namespace });
      const { items } = await this.#admin.get<{ readonly items: readonly Followed[] }>(path);
      return [resources[kind].plural, items] as const;
    });
    return new Map(await Promise.all(lists));
  }
}

const ends = new Map<string, number>();

/** Of the first certificate and no other, as Envoy tells it: in seconds since 1970. */
function endsOf(pem: string | undefined): number[] {
  if (pem === undefined) return [];
  const end = ends.get(pem) ?? new X509Certificate(pem).validToDate.getTime() / 1_000;
  ends.set(pem, end);
  return [end];
}
