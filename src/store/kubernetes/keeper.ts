import { isDeepStrictEqual } from "node:util";
import { hasStatus } from "../../kube/api-error.ts";
import { sanitizePeerText } from "../../text/peer-text.ts";
import type { Manifest } from "../../render/manifest.ts";
import { marks } from "../../render/marks.ts";
import { StoreError } from "../errors.ts";
import type { StoredObject } from "./api-object.ts";
import type { Entry, Ledger } from "./ledger.ts";
import { manifestOf } from "./manifest-of.ts";
import type { Moment, Objects, Superfluous } from "./objects.ts";
import {
  isHeirOf,
  isOf,
  isOwnerOrHeir,
  nameOf,
  type ObjectName,
  type Owner,
  type Sighting,
  sightingOf,
} from "./sighting.ts";
import { taken } from "./taken.ts";

export interface KeeperPorts {
  readonly objects: Objects;
  readonly ledger: Ledger;
  readonly installation: string;
  /** The field manager of this installation. */
  readonly manager: string;
}

/** Who writes, and how far he may go. */
export interface Claimant {
  readonly owner: Owner;
  /** Whether he may take over what is somebody else's. */
  readonly adopt: boolean;
}

/** What has to be done for an object to be as a manifest wants it. */
export type Plan = { readonly kind: "nothing" } | Work;

type Work = (
  | { readonly kind: "create" }
  | { readonly kind: "apply"; readonly moment: Moment }
  /** All that the manifest names is there already, and more: an apply would change nothing. */
  | { readonly kind: "prune"; readonly moment: Moment; readonly superfluous: Superfluous }
) & {
  /** Whether it was as it should be, and somebody has undone it. */
  readonly repair: boolean;
  /** Their field manager; of who deletes nothing is known. */
  readonly editor: string | undefined;
};

/** So often an object is looked at anew when somebody writes it at the same time. */
const attempts = 3;

/** What Emissary reads as a certificate. */
const legibleTypes: ReadonlySet<string> = new Set(["kubernetes.io/tls", "Opaque", "istio.io/key-and-cert"]);

/**
 * Keeps single objects as their manifests want them. What it has written or seen last it knows from the ledger, and
 * writes on the strength of that: without a read before, and refused by the server if it is wrong.
 */
export class Keeper {
  readonly #ports: KeeperPorts;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  /** @throws StoreError ATTACHE_STORE_TARGET_TAKEN */
  async plan(manifest: Manifest, claimant: Claimant): Promise<Plan> {
    const { ledger, objects } = this.#ports;
    const name = nameOf(manifest);
    const entry = ledger.get(name);
    // It may have come between the claim and now, or be nobody's any more.
    const isForeign = entry !== undefined && !isOwnerOrHeir(claimant.owner, entry.owner);
    if (!isForeign && ledger.holds(manifest, entry)) return this.#asItShouldBe(manifest);
    const repair = ledger.hasPublished(manifest, entry);
    if (entry?.state !== "doubted" && !isForeign) {
      if (entry?.seen === undefined || entry.state === "absent") {
        return { kind: "create", repair, editor: undefined };
      }
      // What others have done to it is looked at: it may take less than an apply.
      if (!repair) return { kind: "apply", moment: entry.seen, repair, editor: undefined };
    }
    const object = await objects.read(name);
    if (object === undefined) {
      ledger.missing(name);
      return { kind: "create", repair, editor: undefined };
    }
    const sighting = this.#claim(manifest, object, claimant);
    if (ledger.holds(manifest, ledger.get(name))) return this.#asItShouldBe(manifest);
    const { editor } = sighting;
    const superfluous = objects.superfluous(manifest, object);
    return superfluous !== undefined && isIncluded(manifest, object)
      ? { kind: "prune", moment: sighting, superfluous, repair, editor }
      : { kind: "apply", moment: sighting, repair, editor };
  }

  /** Does it, and what else has to be done if somebody was faster. Returns whether anything was written. */
  async carryOut(plan: Plan, manifest: Manifest, claimant: Claimant): Promise<boolean> {
    let next = plan;
    for (let attempt = 1; next.kind !== "nothing"; attempt += 1) {
      try {
        await this.#write(next, manifest, claimant);
        return true;
      } catch (error) {
        // Whatever came of it: it may have been written.
        this.#ports.ledger.doubt(nameOf(manifest));
        if (attempt === attempts || !isOvertaken(error, next)) throw error;
        const before = next;
        next = await this.plan(manifest, claimant);
        // Nobody was: the server refuses what it is given.
        if (isSameMoment(before, next)) throw error;
      }
    }
    return false;
  }

  /** What the object holds, as a manifest; nothing if it is not there or not `owner`'s. */
  async read(entry: Entry, owner: Owner): Promise<Manifest | undefined> {
    const { objects, ledger, installation, manager } = this.#ports;
    const { seen } = entry;
    if (entry.state === "known" && seen?.spec !== undefined) {
      return manifestOf("TLSContext", { metadata: seen, spec: { ...seen.spec } });
    }
    const object = await objects.read(entry, seen?.resourceVersion);
    if (object === undefined) return undefined;
    const sighting = sightingOf(entry.kind, object, manager);
    if (!isHeirOf(owner, sighting, { installation, uid: seen?.uid })) return undefined;
    ledger.found(sighting, entry.owner);
    return manifestOf(entry.kind, object);
  }

  /** Changes what nobody reads of an object of `owner`, so that whoever watches it looks at it again. */
  async nudge(name: ObjectName, value: string, owner: Owner): Promise<void> {
    const { objects, ledger, installation, manager } = this.#ports;
    for (let attempt = 1; ; attempt += 1) {
      const entry = ledger.get(name);
      const seen = entry?.state === "known" ? entry.seen : await this.#look(name);
      if (seen === undefined || !isHeirOf(owner, seen, { installation, uid: entry?.seen?.uid })) {
        throw new StoreError("ATTACHE_STORE_UNWRITABLE", `${name.kind} ${name.name} is not there any more`);
      }
      try {
        await ledger.writing(name, async () => {
          const object = await objects.nudge(name, value, seen);
          ledger.found(sightingOf(name.kind, object, manager), entry?.owner ?? owner);
        });
        return;
      } catch (error) {
        ledger.doubt(name);
        if (attempt === attempts || !hasStatus(error, 404, 409, 422)) throw error;
      }
    }
  }

  async #look(name: ObjectName): Promise<Sighting | undefined> {
    const object = await this.#ports.objects.read(name);
    return object && sightingOf(name.kind, object, this.#ports.manager);
  }

  /** Deletes what is published for the entry's owner, unless it is his no more. */
  async remove(entry: Entry): Promise<void> {
    const { ledger } = this.#ports;
    await ledger.writing(entry, async () => {
      await this.#delete(entry);
      if (ledger.get(entry)?.owner.uid === entry.owner.uid) ledger.forget(entry);
    });
  }

  async #delete(entry: Entry): Promise<void> {
    const { objects, installation, manager } = this.#ports;
    const { owner, kind } = entry;
    let seen = entry.state === "absent" ? undefined : entry.seen;
    for (let attempt = 1; seen !== undefined; attempt += 1) {
      if (!isOf(owner, seen, { installation, uid: entry.seen?.uid })) return;
      try {
        await objects.delete(entry, seen);
        return;
      } catch (error) {
        if (hasStatus(error, 404)) return;
        if (attempt === attempts || !hasStatus(error, 409)) throw error;
      }
      const object = await objects.read(entry);
      seen = object && sightingOf(kind, object, manager);
    }
  }

  async #write(work: Work, manifest: Manifest, { owner }: Claimant): Promise<void> {
    const { objects, ledger, manager } = this.#ports;
    const name = nameOf(manifest);
    await ledger.writing(name, async () => {
      let object = await this.#change(work, manifest);
      if (work.kind !== "prune") {
        const superfluous = objects.superfluous(manifest, object);
        if (superfluous !== undefined) object = await objects.prune(name, superfluous, object.metadata);
      }
      ledger.found(sightingOf(name.kind, object, manager), owner);
      ledger.publishes(manifest);
    });
  }

  #change(work: Work, manifest: Manifest): Promise<StoredObject> {
    const { objects } = this.#ports;
    switch (work.kind) {
      case "create":
        return objects.create(manifest);
      case "apply":
        return objects.apply(manifest, work.moment);
      case "prune":
        return objects.prune(nameOf(manifest), work.superfluous, work.moment);
      default:
        return work satisfies never;
    }
  }

  /** Enters what was read as the claimant's. @throws StoreError if he may not have it. */
  #claim(manifest: Manifest, object: StoredObject, { owner, adopt }: Claimant): Sighting {
    const { ledger, installation, manager } = this.#ports;
    const name = nameOf(manifest);
    const sighting = sightingOf(name.kind, object, manager);
    const { seen } = ledger.get(name) ?? {};
    const isOwn = isHeirOf(owner, sighting, { installation, uid: seen?.uid });
    const { type = "Opaque" } = object;
    if ((isOwn || adopt) && legibleTypes.has(type)) {
      ledger.found(sighting, owner);
      return sighting;
    }
    ledger.forget(name);
    ledger.see(sighting);
    if (!isOwn && !adopt) throw taken(name, describe(sighting));
    throw taken(
      name,
      `it is of the type ${type}, which Emissary does not read`,
      "Delete the Secret: its type cannot be changed.",
    );
  }

  #asItShouldBe(manifest: Manifest): Plan {
    this.#ports.ledger.publishes(manifest);
    return { kind: "nothing" };
  }
}

/** Whether all that `manifest` names is in the object as it says. */
function isIncluded(manifest: Manifest, object: StoredObject): boolean {
  const { labels = {}, annotations = {} } = object.metadata;
  return (
    includes(labels, manifest.metadata.labels) &&
    includes(annotations, manifest.metadata.annotations) &&
    (manifest.kind === "Secret"
      ? includes(object.data ?? {}, manifest.data)
      : includes(object.spec ?? {}, manifest.spec))
  );
}

function includes(there: Readonly<Record<string, unknown>>, wanted: object): boolean {
  return Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(there[key], value));
}

/** Whether somebody else may have written in between. */
function isOvertaken(error: unknown, { kind }: Work): boolean {
  return kind === "create" ? hasStatus(error, 409) : hasStatus(error, 404, 409, 422);
}

function isSameMoment(before: Plan, after: Plan): boolean {
  return (
    "moment" in before && "moment" in after && before.moment.resourceVersion === after.moment.resourceVersion
  );
}

/** Whoever made it may have written anything there, of any length. */
function describe({ annotations, editor = "somebody" }: Sighting): string {
  const { [marks.installation]: installation, [marks.name]: name } = annotations;
  if (installation === undefined) return `"${editor}" has made it, and not attaché`;
  return `the installation "${sanitizePeerText(installation)}" publishes it for the MeshCertificate "${sanitizePeerText(name ?? "")}"`;
}
