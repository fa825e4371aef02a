import { isDeepStrictEqual } from "node:util";
import { type IdentityKey, keyOf } from "../../api/mesh-certificate.ts";
import { isForced } from "../../api/requests.ts";
import type { Manifest } from "../../render/manifest.ts";
import { LatestValue } from "../../runtime/latest-value.ts";
import type { Owner } from "../backend.ts";
import type { StoreEvent, Use } from "../store.ts";
import { StoreError } from "../store.ts";
import type { ClusterState } from "./cluster-state.ts";
import type { DeletionGrace } from "./deletion-grace.ts";
import type { IdentityWriter } from "./identity-writer.ts";
import { identityKeyOf, type SeenIdentity } from "./identity.ts";

export interface StoreWatchPorts {
  readonly state: ClusterState;
  readonly writer: Pick<IdentityWriter, "isProtected">;
  readonly grace: Pick<DeletionGrace, "holds">;
  readonly usesOf: (owner: Owner) => readonly Use[] | undefined;
  /** Whether all that there is was seen. */
  readonly isSynced: () => boolean;
  /** Whether the cluster does not know what a MeshCertificate is. */
  readonly isAbsent: () => boolean;
  /** What is published for the identities, as far as it can be read at once; absent: it is not read. */
  readonly published?: (signal: AbortSignal) => AsyncIterable<readonly [Owner, Manifest[]]>;
  /** The status of an identity that cannot be read says so, too. */
  readonly onInvalid: (key: IdentityKey) => void;
}

/** An identity as it was reported last. */
interface Reported {
  readonly type: "identity" | "gone";
  readonly metadata: SeenIdentity["metadata"];
}

/**
 * One watch over the store. It is level-triggered: a notice only says which identity to look at, and the events are
 * the differences between what is seen and what was reported before.
 */
export class StoreWatch {
  readonly #ports: StoreWatchPorts;
  readonly #reported = new Map<IdentityKey, Reported>();
  /** The problems that were reported and that persist. */
  readonly #problems = new Map<IdentityKey | "all", string>();
  readonly #changed = new Set<IdentityKey>();
  readonly #drifted = new Set<IdentityKey>();
  readonly #used = new Set<IdentityKey>();
  readonly #wakes = new LatestValue<undefined>();

  constructor(ports: StoreWatchPorts) {
    this.#ports = ports;
  }

  /** Says that it is time to look at everything that was noticed. */
  ring(): void {
    this.#wakes.publish(undefined);
  }

  changed(key: IdentityKey): void {
    this.#changed.add(key);
    this.ring();
  }

  drifted(key: IdentityKey): void {
    this.#drifted.add(key);
    this.ring();
  }

  /** Who uses the identity may be another now, and with that it may be time to withdraw it. */
  usesChanged(key: IdentityKey): void {
    this.#used.add(key);
    this.changed(key);
  }

  /** Ends only by throwing. */
  async *events(signal: AbortSignal): AsyncGenerator<StoreEvent> {
    const { state, isSynced, isAbsent, published } = this.#ports;
    let hasBegun = false;
    this.ring();
    for await (const _ of this.#wakes.subscribe(signal)) {
      if (isAbsent()) yield* this.#problem("all", noDefinition());
      else this.#problems.delete("all");
      if (!isSynced()) continue;
      if (!hasBegun) {
        for await (const [{ uid }, manifests] of published?.(signal) ?? []) {
          const seen = state.identities.ofUid(uid);
          if (seen !== undefined) yield* this.#lookAt(identityKeyOf(seen), manifests);
        }
        for (const key of state.identities.keys()) this.#changed.add(key);
      }
      // What arrives while a consumer handles an event waits for the next round, in this order, too.
      const [drifted, used] = [taken(this.#drifted), taken(this.#used)];
      for (const key of taken(this.#changed)) yield* this.#lookAt(key);
      if (!hasBegun) {
        yield* this.#orphans();
        yield { type: "synced" };
        hasBegun = true;
      }
      for (const key of drifted) yield { type: "drift", key };
      for (const key of used) yield { type: "uses", key };
    }
  }

  #lookAt(key: IdentityKey, manifests?: readonly Manifest[]): StoreEvent[] {
    const { state, writer, onInvalid } = this.#ports;
    const seen = state.identities.get(key);
    const reported = this.#reported.get(key);
    if (seen === undefined) return reported === undefined ? [] : this.#vanished(key, reported);
    const { metadata, content } = seen;
    const type = this.#isKept(seen) ? "identity" : "gone";
    if (type === "identity" && content instanceof StoreError) {
      // What was known of it stays in force.
      const events = this.#problem(key, content);
      if (events.length > 0) onInvalid(key);
      return events;
    }
    this.#problems.delete(key);
    this.#reported.set(key, { type, metadata });
    if (reported?.type === "gone" && type === "gone" && reported.metadata.uid === metadata.uid) return [];
    if (reported?.type !== type || !isDeepStrictEqual(reported.metadata, metadata)) {
      if (content instanceof StoreError) return [{ type: "gone", identity: { metadata } }];
      if (type === "gone") return [{ type, identity: content }];
      return [{ type, identity: content, ...(manifests && { manifests }) }];
    }
    // An apply puts the finalizer on again.
    return !writer.isProtected(seen) && this.#isPublished(metadata) ? [{ type: "drift", key }] : [];
  }

  /** Once, as long as it persists. */
  #problem(key: IdentityKey | "all", error: StoreError): StoreEvent[] {
    if (this.#problems.get(key) === error.message) return [];
    this.#problems.set(key, error.message);
    return [{ type: "invalid", error }];
  }

  /** An editor has removed its finalizer: what is used stays published nevertheless. */
  #vanished(key: IdentityKey, { type, metadata }: Reported): StoreEvent[] {
    const { state, usesOf } = this.#ports;
    const isKept =
      type === "identity" &&
      this.#isPublished(metadata) &&
      !state.terminating.has(metadata.uid) &&
      usesOf(metadata)?.length !== 0;
    if (isKept) return this.#problem(key, orphaned(key));
    this.#reported.delete(key);
    this.#problems.delete(key);
    return type === "gone" ? [] : [{ type: "gone", identity: { metadata } }];
  }

  /** What is published for identities that were removed, without a finalizer, while attaché did not run. */
  *#orphans(): Generator<StoreEvent> {
    const { identities, owned } = this.#ports.state;
    const owners = [...owned.all()].flatMap(({ owner, seen }) => (seen === undefined ? [] : owner));
    for (const [key, owner] of new Map(owners.map((one) => [keyOf({ metadata: { ...one } }), one]))) {
      if (identities.get(key) !== undefined || this.#reported.has(key)) continue;
      // The mark is forged: the identity of that UID is another one, and there.
      if (identities.ofUid(owner.uid) !== undefined) continue;
      this.#reported.set(key, { type: "identity", metadata: { ...owner } });
      yield* this.#lookAt(key);
    }
  }

  /**
   * Whether an identity is to be kept published: one that is being deleted, as long as anything uses it, or may, and for a
   * moment in which a use may still appear; unless its namespace is being deleted, too, which takes nothing new.
   */
  #isKept(seen: SeenIdentity): boolean {
    const { state, writer, usesOf, grace } = this.#ports;
    const { metadata } = seen;
    if (metadata.deletionTimestamp === undefined) return true;
    if (state.terminating.has(metadata.uid) || isForced(metadata)) return false;
    const isPublished = writer.isProtected(seen) || this.#isPublished(metadata);
    return isPublished && (grace.holds(seen) || usesOf(metadata)?.length !== 0);
  }

  #isPublished(owner: Owner): boolean {
    return this.#ports.state.owned.of(owner).some(({ seen }) => seen !== undefined);
  }
}

function taken<T>(set: Set<T>): T[] {
  const items = [...set];
  set.clear();
  return items;
}

function orphaned(key: IdentityKey): StoreError {
  return new StoreError(
    "ATTACHE_STORE_ORPHANED",
    `the MeshCertificate ${key} is gone, and what was published for it is still used: it is kept`,
  );
}

function noDefinition(): StoreError {
  return new StoreError(
    "ATTACHE_STORE_UNREADABLE",
    "the cluster does not know MeshCertificates: their CRD is not there",
    {
      remedy:
        "Install it, `attache crd | kubectl apply -f -`; attaché goes on by itself then. Nothing is withdrawn.",
    },
  );
}
