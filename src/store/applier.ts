import { ownershipAnnotations } from "../render/marks.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import {
  type Backend,
  type Found,
  isHeirOf,
  isOf,
  type ObjectRef,
  type ObservedObject,
  type Owner,
  type Part,
  refOfPart,
  type WrittenParts,
} from "./backend.ts";
import { type Action, decide, decideFromRead } from "./decide.ts";
import type { OwnedObject, OwnedObjects } from "./owned-objects.ts";

export interface ApplierPorts {
  readonly backend: Backend;
  readonly owned: OwnedObjects;
  readonly installation: string;
}

/** How often an object is read and decided again, at most, when another client writes it at the same time. */
const attempts = 3;

/** Makes single objects as they are wanted: one write each, with what was observed last as its precondition. */
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
  async plan(part: Part, owner: Owner, adopt: boolean): Promise<Action> {
    const { backend, owned } = this.#ports;
    const ref = refOfPart(part);
    let action = decide(part, owned.get(ref), owner, backend);
    if (action.kind === "read") {
      const found = await backend.read(ref);
      if (found === undefined) owned.markDeleted(ref);
      else this.#own(found, owner, adopt);
      action = decideFromRead(part, found, owned.get(ref), backend);
    }
    if (action.kind === "nothing") owned.published(part, owned.get(ref)?.seen?.content);
    return action;
  }

  /**
   * Makes a target's objects, in their order; at once, where the backend can. If another client has written meanwhile, reads
   * and decides again. Returns how many were written.
   */
  async carryOutAll(steps: readonly TargetStep[], owner: Owner, adopt: boolean): Promise<number> {
    const { backend } = this.#ports;
    let next = steps;
    if (backend.writeAll !== undefined && steps.some(isDue)) {
      const { written, error } = await this.#writeAll(steps, owner);
      if (error === undefined) return written.length;
      if (!backend.isConflict(error, false)) throw error;
      const again: TargetStep[] = [];
      for (const { part } of steps) again.push({ part, action: await this.plan(part, owner, adopt) });
      next = again;
    }
    let writes = 0;
    for (const { part, action } of next) {
      if (await this.carryOut(action, part, owner, adopt)) writes += 1;
    }
    return writes;
  }

  async #writeAll(steps: readonly TargetStep[], owner: Owner): Promise<WrittenParts> {
    const { backend, owned } = this.#ports;
    const due = steps.flatMap(({ part, action }) =>
      action.kind === "nothing" ? [] : [{ part, before: action.before }],
    );
    const unchanged = steps.filter((step) => !isDue(step)).map(({ part }) => refOfPart(part));
    const write = async () => {
      const answer = (await backend.writeAll?.(due, unchanged)) ?? { written: [] };
      for (const [index, { part }] of due.entries()) {
        const observed = answer.written[index];
        if (observed === undefined) {
          owned.markStale(refOfPart(part));
        } else {
          owned.answered(observed, owner);
          owned.published(part, observed.content);
        }
      }
      if (answer.error !== undefined) for (const ref of unchanged) owned.markStale(ref);
      return answer;
    };
    return due.reduce(
      (work, { part }) =>
        () =>
          owned.writing(refOfPart(part), work),
      write,
    )();
  }

  /** Does it, and decides again after a conflict with another client. Returns whether anything was written. */
  async carryOut(action: Action, part: Part, owner: Owner, adopt: boolean): Promise<boolean> {
    const { backend, owned } = this.#ports;
    const ref = refOfPart(part);
    let next = action;
    for (let attempt = 1; next.kind !== "nothing"; attempt += 1) {
      const { before } = next;
      try {
        await owned.writing(ref, async () => {
          const observed = await backend.write(part, before);
          owned.answered(observed, owner);
          owned.published(part, observed.content);
        });
        return true;
      } catch (error) {
        owned.markStale(ref);
        if (attempt === attempts || !backend.isConflict(error, next.kind === "create")) throw error;
        const version = versionOf(next);
        next = await this.plan(part, owner, adopt);
        // No other client has written in between: the server refuses the manifest.
        if (version !== undefined && version === versionOf(next)) throw error;
      }
    }
    return false;
  }

  /** What the object holds; `undefined` if it does not exist or is not the owner's. */
  async read(object: OwnedObject, owner: Owner): Promise<Part | undefined> {
    const kept = this.kept(object);
    if (kept !== undefined) return kept;
    const found = await this.#ports.backend.read(object, object.seen?.resourceVersion);
    return found && this.accept(found, object, owner);
  }

  /** As {@link read}, from the cache; `undefined` if it has to be read. */
  kept({ state, seen }: OwnedObject): Part | undefined {
    return state === "synced" && seen ? this.#ports.backend.partOf?.(seen) : undefined;
  }

  /** What the object holds, which was just read; `undefined` if it is not the owner's. */
  accept({ observed, part, refusal }: Found, object: OwnedObject, owner: Owner): Part | undefined {
    const { owned, installation } = this.#ports;
    if (refusal || !isHeirOf(owner, observed, { installation, uid: object.seen?.uid })) return undefined;
    owned.answered(observed, object.owner);
    return part;
  }

  /** Runs `write` on an object of `owner` as it is now, again after a conflict. Nothing if the owner has no such object. */
  async update(
    ref: ObjectRef,
    owner: Owner,
    write: (seen: ObservedObject) => Promise<ObservedObject>,
  ): Promise<ObservedObject | undefined> {
    const { backend, owned, installation } = this.#ports;
    for (let attempt = 1; ; attempt += 1) {
      const object = owned.get(ref);
      const seen = object?.state === "synced" ? object.seen : (await backend.read(ref))?.observed;
      if (seen === undefined || !isHeirOf(owner, seen, { installation, uid: object?.seen?.uid })) return;
      try {
        return await owned.writing(ref, async () => {
          const answer = await write(seen);
          owned.answered(answer, object?.owner ?? owner);
          return answer;
        });
      } catch (error) {
        owned.markStale(ref);
        if (attempt === attempts || !backend.isConflict(error, false)) throw error;
      }
    }
  }

  /** Takes the object away, unless it is not its owner's any more. The cache goes on to know that it was there. */
  async remove(object: OwnedObject): Promise<void> {
    const { owned } = this.#ports;
    await owned.writing(object, async () => {
      await this.#remove(object);
      if (owned.get(object)?.owner.uid === object.owner.uid) owned.markDeleted(object);
    });
  }

  async #remove(object: OwnedObject): Promise<void> {
    const { backend, installation } = this.#ports;
    let seen = object.state === "deleted" ? undefined : object.seen;
    for (let attempt = 1; seen !== undefined; attempt += 1) {
      if (!isOf(object.owner, seen, { installation, uid: object.seen?.uid })) return;
      try {
        await backend.remove(object, seen);
        return;
      } catch (error) {
        if (attempt === attempts || !backend.isConflict(error, false)) throw error;
      }
      seen = (await backend.read(object))?.observed;
    }
  }

  /** Enters what was read as the owner's. @throws StoreError if it has another owner. */
  #own({ observed, because, refusal }: Found, owner: Owner, adopt: boolean): void {
    const { backend, owned, installation } = this.#ports;
    const isOwn = isHeirOf(owner, observed, { installation, uid: owned.get(observed)?.seen?.uid });
    const mayTake = isOwn || (adopt && backend.canAdopt);
    const obstacle = mayTake ? refusal : backend.taken(observed, because ?? describe(observed));
    if (obstacle === undefined) {
      owned.answered(observed, owner);
      return;
    }
    owned.forget(observed);
    owned.see(observed);
    throw obstacle;
  }
}

/** One object of a target, and what has to be done. */
export interface TargetStep {
  readonly part: Part;
  readonly action: Action;
}

function isDue({ action }: TargetStep): boolean {
  return action.kind !== "nothing";
}

function versionOf(action: Action): string | undefined {
  if (action.kind === "nothing" || action.before === undefined) return undefined;
  const { before } = action;
  return ("observed" in before ? before.observed : before).resourceVersion;
}

/** Another client may have written any text into the annotations, of any length. */
function describe({ annotations, editor }: ObservedObject): string {
  const { [ownershipAnnotations.installation]: installation, [ownershipAnnotations.name]: name } =
    annotations;
  const maker = editor === undefined ? "another client" : `"${editor}"`;
  if (installation === undefined) return `${maker} has made it, and not attaché`;
  return `the installation "${sanitizePeerText(installation)}" publishes it for the MeshCertificate "${sanitizePeerText(name ?? "")}"`;
}
