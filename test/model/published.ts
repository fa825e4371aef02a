import { createPrivateKey, X509Certificate } from "node:crypto";
import type { StoreCluster } from "../peers/kubernetes/store-peer.ts";
import { pathOf, resources } from "../../src/kubernetes/resources.ts";
import type { Leaf, Pool } from "./credentials.ts";

/** What the API server holds of one identity, in terms of the pool that its mesh issues from. */
export interface Snapshot {
  /** Whether a Mapping names the context. */
  readonly isUsed: boolean;
  readonly identity: "there" | "ending" | "gone";
  readonly context: Present | undefined;
  readonly leaf: (Present & Pair) | undefined;
  readonly ca: (Present & { readonly roots: readonly number[] }) | undefined;
}

interface Present {
  readonly uid: string;
}

/** `undefined`: it is none of the pool. */
interface Pair {
  readonly certificate: Leaf | undefined;
  readonly key: Leaf | undefined;
}

interface Item {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
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
      (["meshIdentities", "mappings", "tlsContexts", "secrets"] as const).map((kind) =>
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
    return {
      isUsed: (mappings?.items ?? []).some(({ spec }) => spec?.["tls"] === name),
      identity:
        identity === undefined
          ? "gone"
          : identity.metadata.deletionTimestamp === undefined
            ? "there"
            : "ending",
      context: context && { uid: context.metadata.uid },
      leaf: leaf && { uid: leaf.metadata.uid, ...this.#pairIn(leaf) },
      ca: ca && { uid: ca.metadata.uid, roots: this.#rootsIn(ca) },
    };
  }

  #pairIn({ data = {} }: Item): Pair {
    return this.#once(`${data["tls.crt"] ?? ""} ${data["tls.key"] ?? ""}`, () => {
      const certificate = new X509Certificate(textOf(data["tls.crt"]));
      const key = createPrivateKey(textOf(data["tls.key"]));
      const leaves = this.#pool.leaves;
      return {
        certificate: leaves.find((leaf) => fingerprintOf(certificate) === leaf.certificate.fingerprint),
        key: leaves.find((leaf) => leaf.key.equals(key)),
      };
    });
  }

  #rootsIn({ data = {} }: Item): readonly number[] {
    return this.#once(data["tls.crt"] ?? "", () => {
      const blocks = textOf(data["tls.crt"]).match(/-----BEGIN [^]*?-----END [^-]*-----/g) ?? [];
      const fingerprints = blocks.map((block) => fingerprintOf(new X509Certificate(block)));
      return fingerprints.map((one) => this.#pool.roots.findIndex(({ fingerprint }) => fingerprint === one));
    });
  }

  #once<T>(text: string, read: () => T): T {
    if (!this.#known.has(text)) this.#known.set(text, read());
    return this.#known.get(text) as T;
  }
}

function textOf(base64 = ""): string {
  return Buffer.from(base64, "base64").toString();
}

function fingerprintOf({ fingerprint256 }: X509Certificate): string {
  return fingerprint256.replaceAll(":", "").toLowerCase();
}
