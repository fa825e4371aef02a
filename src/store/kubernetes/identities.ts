import type { IdentityKey, Status } from "../../api/mesh-certificate.ts";
import { isNewer } from "../backend.ts";
import { Groups } from "../groups.ts";
import type { StoredObject } from "./api-object.ts";
import { identityKeyOf, type SeenIdentity, seenIdentity } from "./identity.ts";
import { isRefused, type NamespaceLimit } from "./namespace-limit.ts";

interface IdentitiesPorts {
  readonly limit: NamespaceLimit;
  readonly onChange: (key: IdentityKey) => void;
  /** Called when there is room for an identity that was refused. */
  readonly onRoom: (key: IdentityKey) => void;
}

/** The MeshCertificates, each as it was last seen: by the watch, or in the answer to a write of our own. */
export class Identities {
  readonly #byKey = new Map<IdentityKey, SeenIdentity>();
  readonly #byUid = new Map<string, SeenIdentity>();
  /** The statuses that are being written, by UID: equal ones are kept once. */
  readonly #writing = new Map<string, Status>();
  /** By the name of the TLSContext that they are to publish. */
  readonly #byContext = new Groups<IdentityKey>();
  readonly #ports: IdentitiesPorts;

  constructor(ports: IdentitiesPorts) {
    this.#ports = ports;
  }

  get(key: IdentityKey): SeenIdentity | undefined {
    return this.#byKey.get(key);
  }

  ofUid(uid: string): SeenIdentity | undefined {
    return this.#byUid.get(uid);
  }

  keys(): IdentityKey[] {
    return [...this.#byKey.keys()];
  }

  /** The identities that are to publish a TLSContext of this name. */
  wanting(context: string): IdentityKey[] {
    return this.#byContext.get(context);
  }

  /** An identity for each TLSContext that is to be published, by the context's name. */
  publishers(): ReadonlyMap<string, IdentityKey> {
    const all = [...this.#byKey].toReversed();
    return new Map(all.flatMap(([key, { context }]) => (context === undefined ? [] : [[context.name, key]])));
  }

  /** Whether it was refused, and there is room for it now. */
  isNext(key: IdentityKey): boolean {
    const seen = this.#byKey.get(key);
    return seen !== undefined && this.#ports.limit.next(seen) === key;
  }

  /** What is kept of it, also by the informer; the very same of a version that was seen already. */
  reduce(object: StoredObject): SeenIdentity {
    const { uid, resourceVersion } = object.metadata;
    const before = this.#byUid.get(uid);
    if (before?.resourceVersion === resourceVersion && !isRefused(before)) return before;
    return this.#ports.limit.reduce(seenIdentity(object, before, this.#writing.get(uid)));
  }

  /** Runs `write`, which writes the status: the watch may show it before the answer does. */
  async writing<T>(uid: string, status: Status, write: () => Promise<T>): Promise<T> {
    this.#writing.set(uid, status);
    try {
      return await write();
    } finally {
      if (this.#writing.get(uid) === status) this.#writing.delete(uid);
    }
  }

  see(shown: SeenIdentity): void {
    const seen = this.#ports.limit.reduce(shown);
    const before = this.#byKey.get(identityKeyOf(seen));
    const isKnown = before !== undefined && !isNewer(seen.resourceVersion, before.resourceVersion);
    const isAdmitted = before !== undefined && isRefused(before) && !isRefused(seen);
    if (isKnown && !(isAdmitted && before.resourceVersion === seen.resourceVersion)) return;
    this.#keep(seen);
    this.#fill(seen);
  }

  lose({ metadata: { uid } }: SeenIdentity): void {
    const before = this.#byUid.get(uid);
    if (before === undefined) return;
    this.#forget(before);
    this.#ports.limit.forget(before);
    this.#ports.onChange(identityKeyOf(before));
    this.#fill(before);
  }

  #keep(seen: SeenIdentity): void {
    const { limit, onChange } = this.#ports;
    const key = identityKeyOf(seen);
    const before = this.#byKey.get(key);
    if (before !== undefined) this.#forget(before);
    this.#byKey.set(key, seen);
    this.#byUid.set(seen.metadata.uid, seen);
    const { context } = seen;
    if (context !== undefined) this.#byContext.add(context.name, key);
    const displaced = limit.count(seen);
    if (displaced !== undefined) this.#keep(limit.refuse(displaced));
    onChange(key);
  }

  #fill(seen: SeenIdentity): void {
    const next = this.#ports.limit.next(seen);
    if (next !== undefined) this.#ports.onRoom(next);
  }

  #forget(seen: SeenIdentity): void {
    const key = identityKeyOf(seen);
    this.#byUid.delete(seen.metadata.uid);
    this.#byKey.delete(key);
    if (seen.context !== undefined) this.#byContext.delete(seen.context.name, key);
  }
}
