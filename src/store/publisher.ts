import type { MeshCertificate } from "../api/mesh-certificate.ts";
import { isForced } from "../api/requests.ts";
import type { ContextName } from "../emissary/consumer.ts";
import type { Manifest, TlsContextManifest } from "../render/manifest.ts";
import { ownershipAnnotations } from "../render/marks.ts";
import { Applier, type TargetStep } from "./applier.ts";
import {
  type Backend,
  isOwnerOrHeir,
  type ObjectKey,
  type ObservedObject,
  objectKey,
  type ObjectRef,
  type Owner,
  type Part,
  refOfPart,
} from "./backend.ts";
import { hasPublished, type OwnedObject, type OwnedObjects } from "./owned-objects.ts";
import type { Applied, IdentityRef, Use } from "./store.ts";
import { StoreError } from "./store.ts";
import { contextOf, seenOf, type Usage } from "./usage.ts";
import type { WriteContention } from "./write-contention.ts";

export interface PublisherPorts {
  readonly owned: OwnedObjects;
  readonly backend: Backend;
  readonly installation: string;
  readonly usage: Usage;
  /** What is published beside the manifests of a target, in the order of writes. */
  readonly parts?: (identity: IdentityRef, manifests: readonly Manifest[]) => readonly Part[];
  /** Keeps the identity from going before what it published is withdrawn. */
  readonly finalizer?: {
    protect(identity: IdentityRef): Promise<void>;
    release(identity: IdentityRef): Promise<void>;
  };
  /** Spaces out repairs, where another client may undo them. */
  readonly contention?: WriteContention;
  /** Why a TLSContext cannot be published in Emissaries that do not see it yet. */
  readonly nameConflict?: (context: TlsContextManifest) => StoreError | undefined;
  /** Whether there is a MeshCertificate of this UID. */
  readonly isKnown: (uid: string) => boolean;
  /** Whether its namespace is being deleted, and nothing of it can be kept. */
  readonly isNamespaceTerminating?: (uid: string) => boolean;
  /** Asks that the identity be reconciled again after so many milliseconds. */
  readonly requeue?: (owner: Owner, afterMs: number) => void;
}

/** Publishes targets and withdraws them. Different identities at once, one identity once at a time. */
export class Publisher {
  readonly #ports: PublisherPorts;

  readonly #applier: Applier;

  constructor(ports: PublisherPorts) {
    this.#ports = ports;
    this.#applier = new Applier(ports);
  }

  async read(identity: MeshCertificate): Promise<Manifest[]> {
    const owner = ownerOf(identity);
    const parts = await Promise.all(this.#readable(owner).map((entry) => this.#applier.read(entry, owner)));
    return parts.filter(isManifest);
  }

  /**
   * What {@link read} gives of each identity, with requests for many at once. What was written meanwhile, or has another owner, is
   * left to {@link read}.
   */
  async *readAll(signal: AbortSignal): AsyncGenerator<readonly [Owner, Manifest[]]> {
    const { backend, owned } = this.#ports;
    if (owned.all().every(({ state }) => state !== "stale")) return;
    /** Of identities whose other objects are on another page. */
    const read = new Map<ObjectKey, Part>();
    for await (const page of backend.readAll?.(signal) ?? []) {
      const owners = new Map<string, Owner>();
      for (const found of page) {
        const object = owned.get(found.observed);
        if (object?.seen?.resourceVersion !== found.observed.resourceVersion) continue;
        const part = this.#applier.accept(found, object, object.owner);
        if (part === undefined) continue;
        read.set(objectKey(object), part);
        owners.set(object.owner.uid, object.owner);
      }
      for (const owner of owners.values()) {
        const entries = this.#readable(owner);
        const parts = entries.map((entry) => this.#applier.kept(entry) ?? read.get(objectKey(entry)));
        if (parts.includes(undefined)) continue;
        for (const entry of entries) read.delete(objectKey(entry));
        yield [owner, parts.filter(isManifest)];
      }
    }
  }

  /** The manifests of an identity that are known to exist. */
  #readable(owner: Owner): OwnedObject[] {
    const all = this.#ports.owned.of(owner);
    return all.filter(
      ({ kind, seen, state }) => kind !== "PemSet" && seen !== undefined && state !== "deleted",
    );
  }

  /** Finds the obstacles that can be known before the first write. */
  async apply(identity: MeshCertificate, manifests: readonly Manifest[]): Promise<Applied> {
    const { owned, finalizer, isKnown } = this.#ports;
    const owner = ownerOf(identity);
    const { adopt } = identity.spec.target;
    const parts = this.#ports.parts?.(identity, manifests) ?? manifests;
    const target = [...parts, ...this.#aliases(owner, manifests)];
    this.#reserve(target, owner);
    try {
      // A MeshCertificate that was removed by force stays published while it is used: see StoreWatch.
      if (isKnown(owner.uid) || owned.of(owner).every(({ seen }) => seen === undefined)) {
        await finalizer?.protect(identity);
      }
      const steps: TargetStep[] = [];
      for (const wanted of target) {
        const part = await this.#withUsedIds(wanted);
        steps.push({ part, action: await this.#applier.plan(part, owner, adopt) });
      }
      const writes = await this.#applier.carryOutAll(this.#due(steps, owner), owner, adopt);
      await this.#removeOthers(owner, target);
      return { writes, ...this.#problem(target, owner) };
    } finally {
      for (const manifest of target) owned.release(refOfPart(manifest), owner);
    }
  }

  async withdraw(identity: IdentityRef): Promise<void> {
    const { owned, usage, finalizer, isNamespaceTerminating } = this.#ports;
    const owner = ownerOf(identity);
    const mustWait = !isForced(identity.metadata) && isNamespaceTerminating?.(owner.uid) !== true;
    // Not what another one of its name goes on with.
    const own = owned.of(owner).filter((entry) => entry.owner.uid === owner.uid);
    // A use that appears meanwhile stops the withdrawal, too: as long as the identity is there, what is gone is published
    // again. A watch may be behind, so the first and the last word is the API server's.
    const check = () => {
      if (mustWait && usage.of(own, owner)?.length !== 0) throw inUse(owner);
    };
    const checkNow = async () => {
      check();
      if (mustWait && (await usage.isUsedNow(own, owner))) throw inUse(owner);
    };
    await checkNow();
    await this.#removeAll(own, check);
    if (own.length > 0) await checkNow();
    this.#forget(own);
    await finalizer?.release(identity);
  }

  /** The contexts that are published for the identity, former names included. */
  contextsOf(owner: Owner): readonly ContextName[] {
    return seenOf("TLSContext", this.#ports.owned.of(owner)).map(contextOf);
  }

  /** Runs `write` on a context of the identity as it is now. @throws StoreError if there is none */
  async touch(
    identity: IdentityRef,
    name: string,
    write: (ref: ObjectRef, seen: ObservedObject) => Promise<ObservedObject>,
  ): Promise<void> {
    const owner = ownerOf(identity);
    const ref = { kind: "TLSContext", namespace: owner.namespace, name } as const;
    const answer = await this.#applier.update(ref, owner, (seen) => write(ref, seen));
    if (answer !== undefined) return;
    const problem = `TLSContext ${ref.namespace}/${name} is not there any more`;
    throw new StoreError("ATTACHE_STORE_UNWRITABLE", problem);
  }

  /** Who names what is published for the identity; nothing while it is not known. */
  usesOf(owner: Owner): readonly Use[] | undefined {
    return this.#ports.usage.of(this.#ports.owned.of(owner), owner);
  }

  /**
   * Contexts under a former name of the identity that consumers still use: they stay, and equal the context under the
   * new name, except for the Emissaries that they are meant for.
   */
  #aliases(owner: Owner, manifests: readonly Manifest[]): TlsContextManifest[] {
    const { owned, usage } = this.#ports;
    const context = manifests.find((manifest) => manifest.kind === "TLSContext");
    if (context === undefined) return [];
    return owned.of(owner).flatMap((entry) => {
      const { name, ambassadorIds } = contextOf(entry);
      if (entry.kind !== "TLSContext" || name === context.metadata.name) return [];
      if (usage.ofContext({ name, ambassadorIds })?.length === 0) return [];
      const metadata = { ...context.metadata, name };
      return [{ ...context, metadata, spec: { ...context.spec, ambassador_id: ambassadorIds } }];
    });
  }

  /** A context that loses an `ambassador_id` is gone for that Emissary: it keeps the IDs of its consumers. */
  async #withUsedIds(manifest: Part): Promise<Part> {
    const { owned, usage } = this.#ports;
    const entry = owned.get(refOfPart(manifest));
    if (manifest.kind !== "TLSContext" || entry?.seen === undefined) return manifest;
    const { name, ambassadorIds } = contextOf(entry);
    const ids = manifest.spec.ambassador_id;
    const lost = ambassadorIds.filter((id) => !ids.includes(id));
    const isUnused = (id: string) => usage.ofContext({ name, ambassadorIds: [id] })?.length === 0;
    const unused = lost.filter(isUnused);
    // The watch will show which of them.
    const isBehind = unused.length > 0 && (await usage.isContextUsedNow({ name, ambassadorIds: unused }));
    const kept = isBehind ? lost : lost.filter((id) => !isUnused(id));
    return { ...manifest, spec: { ...manifest.spec, ambassador_id: [...ids, ...kept] } };
  }

  /** Before anything is awaited, so that one of two identities that want the same name is refused at once. */
  #reserve(target: readonly Part[], owner: Owner): void {
    const { owned, isKnown, backend } = this.#ports;
    for (const manifest of target) {
      const name = refOfPart(manifest);
      const entry = owned.get(name);
      if (entry !== undefined && !isOwnerOrHeir(owner, entry.owner)) {
        if (isKnown(entry.owner.uid)) throw backend.taken(name, publishedFor(entry.owner), chooseAnother);
        // It has no owner any more; whether it exists must be read.
        owned.markStale(name);
      }
      const conflict = this.#conflict(manifest, entry);
      if (conflict !== undefined) throw conflict;
    }
    for (const manifest of target) owned.reserve(refOfPart(manifest), owner);
  }

  /** Only in an Emissary that does not see the context yet: a context that was first stays. */
  #conflict(manifest: Part, entry: OwnedObject | undefined): StoreError | undefined {
    if (manifest.kind !== "TLSContext" || hasPublished(entry, manifest)) return undefined;
    const before = entry?.seen === undefined ? [] : contextOf(entry).ambassadorIds;
    const added = manifest.spec.ambassador_id.filter((id) => !before.includes(id));
    if (added.length === 0) return undefined;
    const more = { ...manifest, spec: { ...manifest.spec, ambassador_id: added } };
    return this.#ports.nameConflict?.(more);
  }

  /** Contended repairs wait, unless something new is to be published: then the order of writes is what counts. */
  #due(steps: readonly TargetStep[], owner: Owner): readonly TargetStep[] {
    const { contention, requeue } = this.#ports;
    if (contention === undefined) return steps;
    if (steps.some(({ action }) => action.kind !== "nothing" && !action.repair)) return steps;
    return steps.filter(({ part, action }) => {
      if (action.kind === "nothing") return false;
      const ref = refOfPart(part);
      const pauseMs = contention.pauseMs(ref, action.editor);
      if (pauseMs > 0) requeue?.(owner, pauseMs);
      else contention.repaired(ref, action.editor);
      return pauseMs === 0;
    });
  }

  #problem(target: readonly Part[], owner: Owner): Pick<Applied, "problem"> {
    const problem = this.#ports.contention?.problem(target.map(refOfPart));
    if (problem === undefined) return {};
    this.#ports.requeue?.(owner, problem.endsInMs);
    return { problem: problem.error };
  }

  /** What the identity published under other names before. It has no consumers: see `#aliases`. */
  async #removeOthers(owner: Owner, target: readonly Part[]): Promise<void> {
    const { owned, usage } = this.#ports;
    const isTarget = (entry: OwnedObject) => target.some((one) => isSameName(refOfPart(one), entry));
    const others = owned.of(owner).filter((entry) => !isTarget(entry));
    // Then it is one of the aliases as soon as the watch shows that.
    if (others.length === 0 || usage.of(others, owner)?.length !== 0) return;
    if (await usage.isUsedNow(others, owner)) return;
    await this.#removeAll(others);
    this.#forget(others);
  }

  /** Until then, who names what is gone still counts as a use. */
  #forget(entries: readonly OwnedObject[]): void {
    const { owned } = this.#ports;
    for (const entry of entries) if (owned.get(entry)?.owner.uid === entry.owner.uid) owned.forget(entry);
  }

  async #removeAll(entries: readonly OwnedObject[], check?: () => void): Promise<void> {
    for (const entry of entries.toSorted((one, other) => rank(one) - rank(other))) {
      check?.();
      await this.#applier.remove(entry);
    }
  }
}

function isManifest(part: Part | undefined): part is Manifest {
  return part !== undefined && part.kind !== "PemSet";
}

function publishedFor({ name }: Owner): string {
  return `it is published for the MeshCertificate "${name}"`;
}

const chooseAnother = "Choose another name under `spec.target`.";

/** The context first, the CA last: a reader in between finds all that the context names, or no context. */
function rank({ kind, seen }: OwnedObject): number {
  if (kind !== "Secret") return kind === "TLSContext" ? 0 : 1;
  return seen !== undefined && ownershipAnnotations.roots in seen.annotations ? 3 : 2;
}

function isSameName(one: ObjectRef, other: ObjectRef): boolean {
  return objectKey(one) === objectKey(other);
}

function ownerOf({ metadata: { namespace, name, uid } }: IdentityRef): Owner {
  if (uid === undefined)
    throw new Error(`the MeshCertificate ${namespace}/${name} did not come from a store`);
  return { namespace, name, uid };
}

function inUse({ namespace, name }: Owner): StoreError {
  const problem = `something still names what is published for the MeshCertificate ${namespace}/${name}, or may`;
  return new StoreError("ATTACHE_STORE_IN_USE", problem);
}
