import { hasStatus } from "../../kube/api-error.ts";
import type { Manifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { sanitizePeerText } from "../../text/peer-text.ts";
import { StoreError } from "../store.ts";
import { manifestOf, type StoredObject } from "./api-object.ts";
import { taken } from "./context-names.ts";
import { type Action, decide, decideFromRead, staleFields, type Write } from "./decision.ts";
import type { Objects } from "./objects.ts";
import {
  isHeirOf,
  isOf,
  type ObjectRef,
  observe,
  type ObservedObject,
  type Owner,
  refOfManifest,
} from "./observed-object.ts";
import { hasPublished, type OwnedObject, type OwnedObjects } from "./owned-objects.ts";

export interface ApplierPorts {
  readonly objects: Objects;
  readonly owned: OwnedObjects;
  readonly installation: string;
  /** The field manager of this installation. */
  readonly manager: string;
}

/** How often an object is read and decided again, at most, when another client writes it at the same time. */
const attempts = 3;

/** The types of Secrets that Emissary reads as a certificate. */
const readableTypes: ReadonlySet<string> = new Set(["kubernetes.io/tls", "Opaque", "istio.io/key-and-cert"]);

/** Makes single objects as their manifests want them: one request each, with what was observed last as its precondition. */
export class Applier {
  readonly #ports: ApplierPorts;

  constructor(ports: ApplierPorts) {
    this.#ports = ports;
  }

  /**
   * What has to be done; reads the object where the cache does not say.
   * @param adopt whether an object of another owner may be taken over
   * @throws StoreError ATTACHE_STORE_TARGET_TAKEN
   */
  async plan(manifest: Manifest, owner: Owner, adopt: boolean): Promise<Action> {
    const { owned, objects, manager } = this.#ports;
    const ref = refOfManifest(manifest);
    let action = decide(manifest, owned.get(ref), owner);
    if (action.kind === "read") {
      const found = await objects.read(ref);
      if (found === undefined) {
        owned.markDeleted(ref);
        action = { kind: "create", repair: hasPublished(owned.get(ref), manifest), editor: undefined };
      } else {
        this.#own(manifest, found, owner, adopt);
        action = decideFromRead(manifest, found, owned.get(ref), manager);
      }
    }
    if (action.kind === "nothing") owned.published(manifest, owned.get(ref)?.seen?.content);
    return action;
  }

  /** Does it, and decides again after a conflict with another client. Returns whether anything was written. */
  async carryOut(action: Action, manifest: Manifest, owner: Owner, adopt: boolean): Promise<boolean> {
    let next = action;
    for (let attempt = 1; next.kind !== "nothing"; attempt += 1) {
      try {
        await this.#write(next, manifest, owner);
        return true;
      } catch (error) {
        this.#ports.owned.markStale(refOfManifest(manifest));
        if (attempt === attempts || !isConflict(error, next)) throw error;
        const before = next;
        next = await this.plan(manifest, owner, adopt);
        // No other client has written in between: the server refuses the manifest.
        if (versionOf(before) !== undefined && versionOf(before) === versionOf(next)) throw error;
      }
    }
    return false;
  }

  /** What the object holds, as a manifest; `undefined` if it does not exist or is not the owner's. */
  async read(object: OwnedObject, owner: Owner): Promise<Manifest | undefined> {
    const { objects, owned, installation, manager } = this.#ports;
    const { seen } = object;
    if (object.state === "synced" && seen?.spec !== undefined) {
      return manifestOf("TLSContext", { metadata: seen, spec: { ...seen.spec } });
    }
    const found = await objects.read(object, seen?.resourceVersion);
    if (found === undefined) return undefined;
    const observed = observe(object.kind, found, manager);
    if (!isHeirOf(owner, observed, { installation, uid: seen?.uid })) return undefined;
    owned.answered(observed, object.owner);
    return manifestOf(object.kind, found);
  }

  /** Changes an annotation without meaning on an object of `owner`, so that its watchers look at it again. */
  async nudge(ref: ObjectRef, value: string, owner: Owner): Promise<void> {
    const { objects, owned, installation, manager } = this.#ports;
    for (let attempt = 1; ; attempt += 1) {
      const object = owned.get(ref);
      const seen = object?.state === "synced" ? object.seen : await this.#observe(ref);
      if (seen === undefined || !isHeirOf(owner, seen, { installation, uid: object?.seen?.uid })) {
        throw new StoreError("ATTACHE_STORE_UNWRITABLE", `${ref.kind} ${ref.name} is not there any more`);
      }
      try {
        await owned.writing(ref, async () => {
          const answer = await objects.nudge(ref, value, seen);
          owned.answered(observe(ref.kind, answer, manager), object?.owner ?? owner);
        });
        return;
      } catch (error) {
        owned.markStale(ref);
        if (attempt === attempts || !hasStatus(error, 404, 409, 422)) throw error;
      }
    }
  }

  /** Deletes the object, unless it is not its owner's any more. */
  async remove(object: OwnedObject): Promise<void> {
    const { owned } = this.#ports;
    await owned.writing(object, async () => {
      await this.#delete(object);
      if (owned.get(object)?.owner.uid === object.owner.uid) owned.forget(object);
    });
  }

  async #delete(object: OwnedObject): Promise<void> {
    const { objects, installation } = this.#ports;
    let seen = object.state === "deleted" ? undefined : object.seen;
    for (let attempt = 1; seen !== undefined; attempt += 1) {
      if (!isOf(object.owner, seen, { installation, uid: object.seen?.uid })) return;
      try {
        await objects.delete(object, seen);
        return;
      } catch (error) {
        if (hasStatus(error, 404)) return;
        if (attempt === attempts || !hasStatus(error, 409)) throw error;
      }
      seen = await this.#observe(object);
    }
  }

  async #write(write: Write, manifest: Manifest, owner: Owner): Promise<void> {
    const { objects, owned, manager } = this.#ports;
    const ref = refOfManifest(manifest);
    await owned.writing(ref, async () => {
      let answer = await this.#request(write, manifest);
      if (write.kind !== "prune") {
        const stale = staleFields(manifest, answer, manager);
        if (stale !== undefined) answer = await objects.prune(ref, stale, answer.metadata);
      }
      const observed = observe(ref.kind, answer, manager);
      owned.answered(observed, owner);
      owned.published(manifest, observed.content);
    });
  }

  #request(write: Write, manifest: Manifest): Promise<StoredObject> {
    const { objects } = this.#ports;
    if (write.kind === "create") return objects.create(manifest);
    if (write.kind === "apply") return objects.apply(manifest, write.precondition);
    return objects.prune(refOfManifest(manifest), write.stale, write.precondition);
  }

  async #observe(ref: ObjectRef): Promise<ObservedObject | undefined> {
    const found = await this.#ports.objects.read(ref);
    return found && observe(ref.kind, found, this.#ports.manager);
  }

  /** Enters what was read as the owner's. @throws StoreError if it has another owner. */
  #own(manifest: Manifest, found: StoredObject, owner: Owner, adopt: boolean): void {
    const { owned, installation, manager } = this.#ports;
    const ref = refOfManifest(manifest);
    const observed = observe(ref.kind, found, manager);
    const isOwn = isHeirOf(owner, observed, { installation, uid: owned.get(ref)?.seen?.uid });
    const { type = "Opaque" } = found;
    if ((isOwn || adopt) && readableTypes.has(type)) {
      owned.answered(observed, owner);
      return;
    }
    owned.forget(ref);
    owned.see(observed);
    if (!isOwn && !adopt) throw taken(ref, describe(observed));
    throw taken(
      ref,
      `it is of the type ${type}, which Emissary does not read`,
      "Delete the Secret: its type cannot be changed.",
    );
  }
}

/** Whether the server may have refused a write because another client has written. */
function isConflict(error: unknown, { kind }: Write): boolean {
  return kind === "create" ? hasStatus(error, 409) : hasStatus(error, 404, 409, 422);
}

function versionOf(action: Action): string | undefined {
  return "precondition" in action ? action.precondition.resourceVersion : undefined;
}

/** Another client may have written any text into the annotations, of any length. */
function describe({ annotations, editor }: ObservedObject): string {
  const { [ownershipAnnotations.installation]: installation, [ownershipAnnotations.name]: name } =
    annotations;
  const maker = editor === undefined ? "another client" : `"${editor}"`;
  if (installation === undefined) return `${maker} has made it, and not attaché`;
  return `the installation "${sanitizePeerText(installation)}" publishes it for the MeshCertificate "${sanitizePeerText(name ?? "")}"`;
}
