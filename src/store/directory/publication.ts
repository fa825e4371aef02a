import type { Manifest } from "../../render/manifest.ts";
import { allOf } from "../../runtime/semaphore.ts";
import { digestOf } from "../digest.ts";
import type { Applied, IdentityRef } from "../store.ts";
import { StoreError } from "../store.ts";
import type { Layout } from "./layout.ts";
import { type ObjectFiles, roleOf } from "./object-files.ts";
import { entryOf, type OwnedFile, type OwnedFiles, unfinished } from "./owned-files.ts";
import { pemSetOf, type PemSets } from "./pem-sets.ts";

export interface DirectoryPublisherPorts {
  readonly layout: Layout;
  readonly owned: OwnedFiles;
  readonly objects: ObjectFiles;
  readonly pemSets: PemSets;
  /** Whether targets are published as PEM sets, too. */
  readonly pem: boolean;
}

/** A part of a target as it must be. */
interface Piece extends OwnedFile {
  readonly digest: string;
  /** Returns the stamp of what was written. */
  readonly write: () => Promise<string>;
}

/** Publishes targets and withdraws them. Different identities at once, one identity once at a time. */
export class DirectoryPublisher {
  readonly #ports: DirectoryPublisherPorts;

  constructor(ports: DirectoryPublisherPorts) {
    this.#ports = ports;
  }

  async read(identity: IdentityRef): Promise<Manifest[]> {
    const { owned, objects } = this.#ports;
    const uid = uidOf(identity);
    const paths = owned.of(uid).filter(({ role }) => role !== "pem");
    const manifests = await Promise.all(paths.map(({ path }) => objects.content(path, uid)));
    return manifests.filter((manifest) => manifest !== undefined);
  }

  /** All that stands in the way is found before the first write: no target is published by halves for long. */
  async apply(identity: IdentityRef, manifests: readonly Manifest[]): Promise<Applied> {
    const { owned } = this.#ports;
    const uid = uidOf(identity);
    const pieces = this.#pieces(identity, manifests);
    return owned.busy(uid, async () => {
      this.#claim(pieces);
      const due = await allOf(pieces.map((piece) => this.#isDue(piece)));
      const changed = pieces.filter((_, index) => due[index]);
      for (const piece of changed) await this.#write(piece);
      const wanted = new Set(pieces.map(({ path }) => path));
      await this.#remove(owned.of(uid).filter(({ path }) => !wanted.has(path)));
      return { writes: changed.length };
    });
  }

  async withdraw(identity: IdentityRef): Promise<void> {
    const { owned } = this.#ports;
    const uid = uidOf(identity);
    await owned.busy(uid, () => this.#remove(owned.of(uid)));
  }

  /** In the given order; the PEM set as soon as both Secrets that it is made of are there. */
  #pieces(identity: IdentityRef, manifests: readonly Manifest[]): Piece[] {
    const uid = uidOf(identity);
    const pieces = manifests.map((manifest) => this.#object(uid, manifest));
    const pem = this.#pem(identity, manifests);
    const afterSecrets = manifests.findLastIndex(({ kind }) => kind === "Secret") + 1;
    return pem === undefined ? pieces : pieces.toSpliced(afterSecrets, 0, pem);
  }

  #object(uid: string, manifest: Manifest): Piece {
    const { layout, objects } = this.#ports;
    const path = layout.object(manifest);
    const write = () => objects.write(path, manifest);
    return { path, uid, role: roleOf(manifest), medium: objects, digest: digestOf(manifest), write };
  }

  #pem(identity: IdentityRef, manifests: readonly Manifest[]): Piece | undefined {
    const { layout, pemSets, pem } = this.#ports;
    const uid = uidOf(identity);
    const set = pem ? pemSetOf(uid, manifests) : undefined;
    if (set === undefined) return undefined;
    const path = layout.pemSet(identity);
    const write = () => pemSets.write(path, set);
    return { path, uid, role: "pem", medium: pemSets, digest: digestOf(set.contents), write };
  }

  /** Runs before the first await: of two identities that want the same place, one is refused at once. */
  #claim(pieces: readonly Piece[]): void {
    const { owned } = this.#ports;
    for (const { path, uid } of pieces) {
      const entry = owned.get(path);
      if (entry !== undefined && entry.uid !== uid)
        throw taken(path, "another MeshCertificate publishes there");
    }
    for (const { path, uid, role, medium } of pieces) {
      if (owned.get(path) === undefined) owned.set({ path, uid, role, medium });
    }
  }

  /** Whether a piece has to be written. @throws StoreError ATTACHE_STORE_TARGET_TAKEN */
  async #isDue({ path, uid, role, medium, digest }: Piece): Promise<boolean> {
    const { owned } = this.#ports;
    const entry = owned.get(path);
    const stamp = await medium.stamp(path);
    if (stamp !== undefined && stamp === entry?.stamp) return entry.digest !== digest;
    const found = await medium.inspect(path);
    switch (found.kind) {
      case "nothing":
        return true;
      case "unparseable":
        // Another process damaged attaché's file, if one was known to be there.
        if (entry?.stamp !== undefined) return true;
        throw taken(path, "what is there is no object of Kubernetes");
      case "foreign":
        owned.set({ path, uid, role, medium });
        throw taken(path, found.because);
      case "ours":
        if (found.uid !== uid) throw taken(path, "it is published for another MeshCertificate");
        if (entry?.stamp === unfinished) return true;
        owned.set(entryOf(path, medium, found));
        return found.digest !== digest;
      default:
        return found satisfies never;
    }
  }

  async #write({ path, uid, role, medium, digest, write }: Piece): Promise<void> {
    const { owned } = this.#ports;
    // After a failure it may exist and not be on the disk: it is written again, whatever it contains.
    owned.set({ path, uid, role, medium, stamp: unfinished });
    const stamp = await write();
    owned.set({ path, uid, role, medium, stamp, digest });
  }

  async #remove(entries: readonly OwnedFile[]): Promise<void> {
    for (const entry of entries) {
      if (await isOurs(entry)) await entry.medium.remove(entry.path);
      this.#ports.owned.delete(entry.path);
    }
  }
}

/** Whether the path still holds what attaché wrote. */
async function isOurs({ path, uid, stamp, medium }: OwnedFile): Promise<boolean> {
  if (stamp !== undefined && (await medium.stamp(path)) === stamp) return true;
  const found = await medium.inspect(path);
  return (
    (found.kind === "ours" && found.uid === uid) || (found.kind === "unparseable" && stamp !== undefined)
  );
}

function uidOf({ metadata: { namespace, name, uid } }: IdentityRef): string {
  if (uid === undefined)
    throw new Error(`the MeshCertificate ${namespace}/${name} did not come from a store`);
  return uid;
}

function taken(path: string, because: string): StoreError {
  return new StoreError("ATTACHE_STORE_TARGET_TAKEN", `${path} is taken: ${because}`, {
    remedy: "Choose another name under `spec.target`, or move the file away.",
  });
}
