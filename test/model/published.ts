import { createPrivateKey, X509Certificate } from "node:crypto";
import type { StoreCluster } from "../peers/kubernetes/store-peer.ts";
import { pathOf, resources } from "../../src/kube/resources.ts";
import type { Leaf, Pool } from "./credentials.ts";

/** What the API server holds of one identity, in terms of the pool that its mesh issues from. */
export interface Snapshot {
  /** Whether a Mapping names the context. */
  readonly isUsed: boolean;
  readonly identity: "there" | "ending" | "gone";
  readonly context: Present | undefined;
  readonly leaf: (Present & Pair) | undefined;
  readonly ca: (Present & { readonly roots: readonly number[] }) | undefined;
  /** `STATUS/REASON` of the condition. */
  readonly served: string | undefined;
}

interface Present {
  readonly uid: string;
}

/** `undefined`: it is none of the pool. */
export interface Pair {
  readonly certificate: Leaf | undefined;
  readonly key: Leaf | undefined;
}

interface Item {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: { readonly conditions?: readonly { type: string; status: string; reason: string }[] };
}

/** Reads objects as Emissary does, which knows nothing of attaché's marks. */
export class Reader {
  readonly #admin: StoreCluster["admin"];
  readonly #namespace: string;
  readonly #pool: Pool;
  readonly #known = new Map<string, unknown>();

  constructor({ admin }: StoreCluster, namespace: string, pool: Pool) {
    this.#admin = admin;
    this.#namespace = namespace;
    this.#pool = pool;
  }

  async read(name: string): Promise<Snapshot> {
    const [identities, mappings, contexts, secrets] = await Promise.all(
      (["meshCertificates", "mappings", "tlsContexts", "secrets"] as const).map((kind) =>
        this.#admin.get<{ readonly items: readonly Item[] }>(
          pathOf(resources[kind], { namespace: this.#namespace }),
        ),
      ),
    );
    const identity = identities?.items.find(({ metadata }) => metadata.name === name);
    const context = contexts?.items.find(({ metadata }) => metadata.name === name);
    // Before there is a context it is known by its name what it will name.
    const { secret = `${name}-mesh-cert`, ca_secret: caSecret = `${name}-mesh-ca` } = context?.spec ?? {};
    const secretNamed = (wanted: unknown) => secrets?.items.find(({ metadata }) => metadata.name === wanted);
    const [leaf, ca] = [secretNamed(secret), secretNamed(caSecret)];
    const served = identity?.status?.conditions?.find(({ type }) => type === "Served");
    return {
      isUsed: (mappings?.items ?? []).some(({ spec }) => spec?.["tls"] === name),
      identity:
        identity === undefined
          ? "gone"
          : identity.metadata.deletionTimestamp === undefined
            ? "there"
            : "ending",
      context: context && { uid: context.metadata.uid },
      leaf: leaf && {
        uid: leaf.metadata.uid,
        ...this.pairOf(textIn(leaf, "tls.crt"), textIn(leaf, "tls.key")),
      },
      ca: ca && { uid: ca.metadata.uid, roots: this.rootsOf(textIn(ca, "tls.crt")) },
      served: served && `${served.status}/${served.reason}`,
    };
  }

  pairOf(certificatePem: string, keyPem: string): Pair {
    return this.#once(`${certificatePem} ${keyPem}`, () => {
      const { leaves } = this.#pool;
      const fingerprint = fingerprintOf(new X509Certificate(certificatePem));
      const key = createPrivateKey(keyPem);
      return {
        certificate: leaves.find(({ certificate }) => certificate.fingerprint === fingerprint),
        key: leaves.find((leaf) => leaf.key.equals(key)),
      };
    });
  }

  rootsOf(bundle: string): readonly number[] {
    return this.#once(bundle, () => {
      const blocks = bundle.match(/-----BEGIN [^]*?-----END [^-]*-----/g) ?? [];
      const fingerprints = blocks.map((block) => fingerprintOf(new X509Certificate(block)));
      return fingerprints.map((one) => this.#pool.roots.findIndex(({ fingerprint }) => fingerprint === one));
    });
  }

  #once<T>(text: string, read: () => T): T {
    if (!this.#known.has(text)) this.#known.set(text, read());
    return this.#known.get(text) as T;
  }
}

function textIn({ data }: Item, key: string): string {
  return Buffer.from(data?.[key] ?? "", "base64").toString();
}

function fingerprintOf({ fingerprint256 }: X509Certificate): string {
  return fingerprint256.replaceAll(":", "").toLowerCase();
}
