import type { IdentityKey } from "../../api/mesh-certificate.ts";
import { StoreError } from "../store.ts";
import { identityKeyOf, ofRefused, type SeenIdentity } from "./identity.ts";

/** What the setting is by default. */
export const defaultNamespaceLimit = 1_000;

const code = "ATTACHE_STORE_TOO_MANY";

interface Namespace {
  readonly admitted: Map<IdentityKey, SeenIdentity>;
  /** Why each is refused: said once, as the count changes all the time. */
  readonly refused: Map<IdentityKey, StoreError>;
}

/**
 * Admits so many identities of each namespace, as a tenant chooses how many it writes. Those that were published before
 * come first; then it is first come, first served. Of the others only metadata is kept.
 */
export class NamespaceLimit {
  readonly #max: number;
  readonly #namespaces = new Map<string, Namespace>();

  constructor(max: number) {
    this.#max = max;
  }

  /** What is kept of it: all, or why it is refused. */
  reduce(seen: SeenIdentity): SeenIdentity {
    const isSpare = seen.content instanceof StoreError || this.#hasRoom(seen);
    return isSpare ? seen : this.refuse(seen);
  }

  refuse(seen: SeenIdentity): SeenIdentity {
    const { admitted, refused } = this.#of(seen);
    const key = identityKeyOf(seen);
    const count = admitted.size + refused.size + (admitted.has(key) ? 0 : 1);
    const content = refused.get(key) ?? tooMany(seen, count, this.#max);
    refused.set(key, content);
    return { ...seen, metadata: ofRefused(seen.metadata), content, context: undefined };
  }

  /** Counts what is kept; returns the one that must give way to it. */
  count(kept: SeenIdentity): SeenIdentity | undefined {
    const { admitted, refused } = this.#of(kept);
    const key = identityKeyOf(kept);
    if (isRefused(kept)) {
      admitted.delete(key);
      return undefined;
    }
    refused.delete(key);
    if (kept.content instanceof StoreError) admitted.delete(key);
    else admitted.set(key, kept);
    return admitted.size > this.#max ? this.#unpublished(admitted) : undefined;
  }

  forget(seen: SeenIdentity): void {
    const { admitted, refused } = this.#of(seen);
    const key = identityKeyOf(seen);
    admitted.delete(key);
    refused.delete(key);
    if (admitted.size + refused.size === 0) this.#namespaces.delete(seen.metadata.namespace);
  }

  /** A refused one that there is room for. */
  next({ metadata: { namespace } }: SeenIdentity): IdentityKey | undefined {
    const { admitted, refused } = this.#namespaces.get(namespace) ?? {};
    return admitted !== undefined && admitted.size < this.#max ? refused?.keys().next().value : undefined;
  }

  #hasRoom(seen: SeenIdentity): boolean {
    const { admitted } = this.#of(seen);
    if (admitted.has(identityKeyOf(seen)) || admitted.size < this.#max) return true;
    return isPublished(seen) && this.#unpublished(admitted) !== undefined;
  }

  #unpublished(admitted: Namespace["admitted"]): SeenIdentity | undefined {
    return admitted.values().find((one) => !isPublished(one));
  }

  #of({ metadata: { namespace } }: SeenIdentity): Namespace {
    const known = this.#namespaces.get(namespace) ?? { admitted: new Map(), refused: new Map() };
    this.#namespaces.set(namespace, known);
    return known;
  }
}

/** Whether it is refused for the number of others. */
export function isRefused({ content }: SeenIdentity): boolean {
  return content instanceof StoreError && content.code === code;
}

/** Its finalizer is the mark of what is published, or is about to be. */
function isPublished({ finalizers }: SeenIdentity): boolean {
  return finalizers.length > 0;
}

function tooMany({ metadata: { namespace, name } }: SeenIdentity, count: number, max: number): StoreError {
  return new StoreError(
    code,
    `the MeshCertificate ${namespace}/${name} is one of ${count} in the namespace "${namespace}", of which attaché serves ${max}`,
    {
      remedy:
        "Remove others of the namespace, and attaché serves this one; or raise limits.identitiesPerNamespace in the settings of attaché.",
    },
  );
}
