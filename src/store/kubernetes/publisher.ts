import type { MeshCertificate } from "../../api/mesh-certificate.ts";
import type { ContextName } from "../../emissary/consumer.ts";
import { ambassadorIdsOf } from "../../emissary/fields.ts";
import type { TlsContext } from "../../emissary/tls-context.ts";
import type { Manifest, TlsContextManifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { allOf } from "../../runtime/semaphore.ts";
import type { Applied, IdentityRef, Use } from "../store.ts";
import { StoreError } from "../store.ts";
import type { ContextUses } from "./context-names.ts";
import { nameConflict, taken } from "./context-names.ts";
import { isForced } from "./identity.ts";

import type { Applier } from "./applier.ts";
import type { Action } from "./decision.ts";
import type { Finalizer } from "./finalizer.ts";
import { isOwnerOrHeir, objectKey, type ObjectRef, type Owner, refOfManifest } from "./observed-object.ts";
import { hasPublished, type OwnedObject, type OwnedObjects } from "./owned-objects.ts";
import type { WriteContention } from "./write-contention.ts";

export interface PublisherPorts {
  readonly applier: Applier;
  readonly owned: OwnedObjects;
  readonly finalizer: Finalizer;
  readonly contention: WriteContention;
  readonly uses: ContextUses;
  /** All TLSContexts of that name, whatever their owner. */
  readonly contexts: (name: string) => readonly TlsContext[];
  /** Whether there is a MeshCertificate of this UID. */
  readonly isKnown: (uid: string) => boolean;
  /** Whether its namespace is being deleted, and nothing of it can be kept. */
  readonly isNamespaceTerminating: (uid: string) => boolean;
  /** What its TLSContext is to be called; nothing if there is no such identity. */
  readonly wantedContext: (owner: Owner) => ContextName | undefined;
  /** Asks that the identity be reconciled again after so many milliseconds. */
  readonly requeue: (owner: Owner, afterMs: number) => void;
}

/** Publishes targets and withdraws them. Different identities at once, one identity once at a time. */
export class Publisher {
  readonly #ports: PublisherPorts;

  constructor(ports: PublisherPorts) {
    this.#ports = ports;
  }

  async read(identity: MeshCertificate): Promise<Manifest[]> {
    const { owned, applier } = this.#ports;
    const owner = ownerOf(identity);
    const entries = owned.of(owner).filter(({ seen, state }) => seen !== undefined && state !== "deleted");
    const manifests = await Promise.all(entries.map((entry) => applier.read(entry, owner)));
    return manifests.filter((manifest) => manifest !== undefined);
  }

  /** Finds the obstacles that can be known before the first write. */
  async apply(identity: MeshCertificate, manifests: readonly Manifest[]): Promise<Applied> {
    const { owned, applier, finalizer, isKnown } = this.#ports;
    const owner = ownerOf(identity);
    const { adopt } = identity.spec.target;
    const target = [...manifests, ...this.#aliases(owner, manifests)];
    this.#reserve(target, owner);
    try {
      // A MeshCertificate that was removed by force stays published while it is used: see StoreWatch.
      if (isKnown(owner.uid) || owned.of(owner).every(({ seen }) => seen === undefined)) {
        await finalizer.add(identity);
      }
      const steps: Step[] = [];
      for (const wanted of target) {
        const manifest = await this.#withUsedIds(wanted);
        steps.push({ manifest, action: await applier.plan(manifest, owner, adopt) });
      }
      let writes = 0;
      for (const { manifest, action } of this.#due(steps, owner)) {
        if (await applier.carryOut(action, manifest, owner, adopt)) writes += 1;
      }
      await this.#removeOthers(owner, target);
      return { writes, ...this.#problem(target, owner) };
    } finally {
      for (const manifest of target) owned.release(refOfManifest(manifest), owner);
    }
  }

  async withdraw(identity: IdentityRef): Promise<void> {
    const { owned, finalizer, isNamespaceTerminating } = this.#ports;
    const owner = ownerOf(identity);
    const mustWait = !isForced(identity.metadata) && !isNamespaceTerminating(owner.uid);
    // Not what another one of its name goes on with.
    const own = owned.of(owner).filter((entry) => entry.owner.uid === owner.uid);
    if (mustWait && this.#usesOf(own, owner)?.length !== 0) throw inUse(owner);
    if (mustWait && (await this.#isUsedNow(own))) throw inUse(owner);
    await this.#removeAll(own);
    await finalizer.remove(identity);
  }

  /** The contexts that are published for the identity, former names included. */
  contextsOf(owner: Owner): readonly ContextName[] {
    const entries = this.#ports.owned.of(owner);
    return entries.filter(({ kind, seen }) => kind === "TLSContext" && seen !== undefined).map(contextOf);
  }

  /** @throws StoreError, ApiError */
  async nudge(identity: IdentityRef, context: string, value: string): Promise<void> {
    const owner = ownerOf(identity);
    await this.#ports.applier.nudge(
      { kind: "TLSContext", namespace: owner.namespace, name: context },
      value,
      owner,
    );
  }

  /** Who names what is published for the identity; nothing while it is not known. */
  usesOf(owner: Owner): readonly Use[] | undefined {
    return this.#usesOf(this.#ports.owned.of(owner), owner);
  }

  #usesOf(entries: readonly OwnedObject[], owner: Owner): readonly Use[] | undefined {
    const found = this.#contextsOf(entries, owner).map((context) => this.#ports.uses.usesOf(context));
    return found.includes(undefined) ? undefined : found.flatMap((some) => some ?? []);
  }

  #contextsOf(entries: readonly OwnedObject[], owner: Owner): ContextName[] {
    const { contexts, wantedContext } = this.#ports;
    const published = entries.filter(({ seen }) => seen !== undefined);
    const own = published.filter(({ kind }) => kind === "TLSContext").map(contextOf);
    const wanted = wantedContext(owner);
    // Another client has deleted it, and its consumers wait for it.
    const isMissed = wanted !== undefined && published.length > 0 && contexts(wanted.name).length === 0;
    return isMissed && !own.some(({ name }) => name === wanted.name) ? [...own, wanted] : own;
  }

  /**
   * Contexts under a former name of the identity that consumers still use: they stay, and equal the context under the
   * new name, except for the Emissaries that they are meant for.
   */
  #aliases(owner: Owner, manifests: readonly Manifest[]): TlsContextManifest[] {
    const { owned } = this.#ports;
    const context = manifests.find((manifest) => manifest.kind === "TLSContext");
    if (context === undefined) return [];
    return owned.of(owner).flatMap((entry) => {
      if (entry.kind !== "TLSContext" || entry.name === context.metadata.name || !this.#isUsed(entry))
        return [];
      const { name, ambassadorIds } = contextOf(entry);
      const metadata = { ...context.metadata, name };
      return [{ ...context, metadata, spec: { ...context.spec, ambassador_id: ambassadorIds } }];
    });
  }

  /** A context that loses an `ambassador_id` is gone for that Emissary: it keeps the IDs of its consumers. */
  async #withUsedIds(manifest: Manifest): Promise<Manifest> {
    const { owned, uses } = this.#ports;
    const entry = owned.get(refOfManifest(manifest));
    if (manifest.kind !== "TLSContext" || entry?.seen === undefined) return manifest;
    const { name, ambassadorIds } = contextOf(entry);
    const ids = manifest.spec.ambassador_id;
    const lost = ambassadorIds.filter((id) => !ids.includes(id));
    const isUnused = (id: string) => uses.usesOf({ name, ambassadorIds: [id] })?.length === 0;
    const unused = lost.filter(isUnused);
    // The watch will show which of them.
    const isBehind = unused.length > 0 && (await uses.isUsed({ name, ambassadorIds: unused }));
    const kept = isBehind ? lost : lost.filter((id) => !isUnused(id));
    return { ...manifest, spec: { ...manifest.spec, ambassador_id: [...ids, ...kept] } };
  }

  /** A consumer may be so new that the watch has not shown it yet. */
  async #isUsedNow(entries: readonly OwnedObject[]): Promise<boolean> {
    const contexts = entries.filter(({ kind, seen }) => kind === "TLSContext" && seen !== undefined);
    const used = await allOf(contexts.map((entry) => this.#ports.uses.isUsed(contextOf(entry))));
    return used.includes(true);
  }

  #isUsed(entry: OwnedObject): boolean {
    return this.#ports.uses.usesOf(contextOf(entry))?.length !== 0;
  }

  /** Before anything is awaited, so that one of two identities that want the same name is refused at once. */
  #reserve(target: readonly Manifest[], owner: Owner): void {
    const { owned, isKnown } = this.#ports;
    for (const manifest of target) {
      const name = refOfManifest(manifest);
      const entry = owned.get(name);
      if (entry !== undefined && !isOwnerOrHeir(owner, entry.owner)) {
        if (isKnown(entry.owner.uid)) throw taken(name, publishedFor(entry.owner), chooseAnother);
        // It has no owner any more; whether it exists must be read.
        owned.markStale(name);
      }
      const conflict = this.#conflict(manifest, entry);
      if (conflict !== undefined) throw conflict;
    }
    for (const manifest of target) owned.reserve(refOfManifest(manifest), owner);
  }

  /** Only in an Emissary that does not see the context yet: a context that was first stays. */
  #conflict(manifest: Manifest, entry: OwnedObject | undefined): StoreError | undefined {
    const { owned } = this.#ports;
    if (manifest.kind !== "TLSContext" || hasPublished(entry, manifest)) return undefined;
    const before = entry?.seen === undefined ? [] : contextOf(entry).ambassadorIds;
    const added = manifest.spec.ambassador_id.filter((id) => !before.includes(id));
    if (added.length === 0) return undefined;
    const more = { ...manifest, spec: { ...manifest.spec, ambassador_id: added } };
    return nameConflict(more, { ...this.#ports, entries: () => owned.all() });
  }

  /** Contended repairs wait, unless something new is to be published: then the order of writes is what counts. */
  #due(steps: readonly Step[], owner: Owner): readonly Step[] {
    const { contention, requeue } = this.#ports;
    if (steps.some(({ action }) => action.kind !== "nothing" && !action.repair)) return steps;
    return steps.filter(({ manifest, action }) => {
      if (action.kind === "nothing") return false;
      const ref = refOfManifest(manifest);
      const pauseMs = contention.pauseMs(ref, action.editor);
      if (pauseMs > 0) requeue(owner, pauseMs);
      else contention.repaired(ref, action.editor);
      return pauseMs === 0;
    });
  }

  #problem(target: readonly Manifest[], owner: Owner): Pick<Applied, "problem"> {
    const problem = this.#ports.contention.problem(target.map(refOfManifest));
    if (problem === undefined) return {};
    this.#ports.requeue(owner, problem.endsInMs);
    return { problem: problem.error };
  }

  /** What the identity published under other names before. It has no consumers: see `#aliases`. */
  async #removeOthers(owner: Owner, target: readonly Manifest[]): Promise<void> {
    const isTarget = (entry: OwnedObject) => target.some((one) => isSameName(refOfManifest(one), entry));
    const others = this.#ports.owned.of(owner).filter((entry) => !isTarget(entry));
    // Then it is one of the aliases as soon as the watch tells.
    if (!(await this.#isUsedNow(others))) await this.#removeAll(others);
  }

  async #removeAll(entries: readonly OwnedObject[]): Promise<void> {
    const { applier } = this.#ports;
    for (const entry of entries.toSorted((one, other) => rank(one) - rank(other)))
      await applier.remove(entry);
  }
}

interface Step {
  readonly manifest: Manifest;
  readonly action: Action;
}

function publishedFor({ name }: Owner): string {
  return `it is published for the MeshCertificate "${name}"`;
}

const chooseAnother = "Choose another name under `spec.target`.";

/** The context first, the CA last: a reader in between finds all that the context names, or no context. */
function rank({ kind, seen }: OwnedObject): number {
  if (kind === "TLSContext") return 0;
  return seen !== undefined && ownershipAnnotations.roots in seen.annotations ? 2 : 1;
}

function contextOf({ name, seen }: OwnedObject): ContextName {
  return { name, ambassadorIds: ambassadorIdsOf(seen?.spec?.ambassador_id) };
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
