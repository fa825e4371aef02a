import { hash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { IdentityKey, MeshCertificate } from "../../api/mesh-certificate.ts";
import { keyOf, partsOf } from "../../api/mesh-certificate.ts";
import { digestOf, type Owner } from "../backend.ts";
import type { IdentityRef, StoreEvent } from "../store.ts";
import { StoreError } from "../store.ts";
import { forEachFile } from "./files.ts";
import type { Look } from "./identity-files.ts";
import type { Remembered, StatusFiles } from "./status-files.ts";

/** What the looks at the files mean: which identities appeared, changed, and are gone. */
export class FileIdentities {
  readonly #statuses: StatusFiles;
  readonly #known = new Map<IdentityKey, Known>();
  readonly #keys = new Map<string, IdentityKey>();
  /** The problems that were reported and that persist, by place. */
  #reported: ReadonlyMap<string, string> = new Map();

  constructor(statuses: StatusFiles) {
    this.#statuses = statuses;
  }

  /** The identity in force that has the UID. */
  keyOf(uid: string): IdentityKey | undefined {
    return this.#keys.get(uid);
  }

  /** What has changed since the last look, what is gone first: another one may want its place. */
  async changes(look: Look): Promise<StoreEvent[]> {
    const { found, problems } = gather(look);
    const gone = [...this.#known].filter(([key]) => !found.has(key));
    for (const [key, { identity }] of gone) this.#forget(key, identity);
    const candidates = [...found].filter(([key, { spec }]) => this.#known.get(key)?.spec !== spec);
    const changed = await forEachFile(candidates, ([key, document]) => this.#learn(key, document));
    const invalid = [...problems].filter(([place, { message }]) => this.#reported.get(place) !== message);
    this.#reported = new Map([...problems].map(([place, { message }]) => [place, message]));
    return [
      ...gone.map(([, { identity }]) => ({ type: "gone", identity }) as const),
      ...changed.flatMap((identity) => (identity ? [{ type: "identity", identity } as const] : [])),
      ...invalid.map(([, error]) => ({ type: "invalid", error }) as const),
    ];
  }

  #forget(key: IdentityKey, { metadata }: MeshCertificate): void {
    this.#known.delete(key);
    this.#keys.delete(metadata.uid ?? "");
  }

  /** Nothing if the file was rewritten with the same effective content. */
  async #learn(key: IdentityKey, document: MeshCertificate): Promise<MeshCertificate | undefined> {
    const { spec } = document;
    const known = this.#known.get(key);
    const specDigest = digestOf(spec);
    if (known?.specDigest === specDigest) {
      const { labels, annotations } = document.metadata;
      const { metadata } = known.identity;
      const isSame = isDeepStrictEqual([labels, annotations], [metadata.labels, metadata.annotations]);
      const identity = { ...known.identity, metadata: { ...metadata, labels, annotations } };
      this.#known.set(key, { ...known, spec, identity });
      return isSame ? undefined : identity;
    }
    const remembered = await this.#remembered(document);
    const before = known ?? remembered;
    const generation = (before?.generation ?? 0) + (before?.specDigest === specDigest ? 0 : 1);
    const uid = uidOf(key);
    const identity = {
      apiVersion: document.apiVersion,
      kind: document.kind,
      // A file that was printed from a cluster in the midst of a deletion is there all the same.
      metadata: { ...document.metadata, uid, generation, deletionTimestamp: undefined },
      spec,
    };
    this.#known.set(key, { identity, spec, specDigest, generation });
    this.#keys.set(uid, key);
    return remembered?.status === undefined ? identity : { ...identity, status: remembered.status };
  }

  async #remembered(document: MeshCertificate): Promise<Remembered | undefined> {
    try {
      return await this.#statuses.read(document);
    } catch (error) {
      // The next write of the status reports the error; the identity does not depend on it.
      if (error instanceof StoreError) return undefined;
      throw error;
    }
  }
}

interface Known {
  readonly identity: MeshCertificate;
  /** As last read; the very object, as a file that has not changed is not read again. */
  readonly spec: MeshCertificate["spec"];
  readonly specDigest: string;
  readonly generation: number;
}

/**
 * The UID of the identity of that name, always the same (a UUIDv8, RFC 9562 section 5.8). One in the YAML is
 * as little asked for as by the API server: it was copied from somewhere, and two that have the same would withdraw
 * what the other publishes.
 */
export function uidOf(key: IdentityKey): string {
  const hex = hash("sha256", `attache.dev/MeshCertificate/${key}`, "hex");
  const [one, two, three, four, five] = [
    [0, 8],
    [8, 12],
    [13, 16],
    [17, 20],
    [20, 32],
  ].map(([from, to]) => hex.slice(from, to));
  return `${one}-${two}-8${three}-8${four}-${five}`;
}

export interface Gathered {
  readonly found: ReadonlyMap<IdentityKey, MeshCertificate>;
  readonly problems: ReadonlyMap<string, StoreError>;
}

/** Of several documents that name the same identity the first by path counts, whichever was there first. */
export function gather({ files, problems }: Pick<Look, "files" | "problems">): Gathered {
  const found = new Map<IdentityKey, MeshCertificate>();
  const places = new Map<IdentityKey, string>();
  const duplicates = new Map<string, StoreError>();
  for (const { path, identities } of files) {
    for (const document of identities) {
      const key = keyOf(document);
      const first = places.get(key);
      if (first === undefined) {
        found.set(key, document);
        places.set(key, path);
      } else {
        duplicates.set(`${path} ${key}`, duplicate(key, first, path));
      }
    }
  }
  return { found, problems: new Map([...problems, ...duplicates]) };
}

function duplicate(key: IdentityKey, first: string, second: string): StoreError {
  return new StoreError(
    "ATTACHE_DOCUMENT_INVALID",
    `${second}: the MeshCertificate ${key} is in ${first} already, and that one counts`,
    { remedy: "Remove one of the two, or give it another name." },
  );
}

/**
 * Identities of which something is published or reported, and that `isKnown` does not know: they were removed
 * while attaché did not run. The UID replaces the name of an identity whose status is lost.
 */
export async function orphans(
  owners: Iterable<Owner>,
  statuses: StatusFiles,
  isKnown: (uid: string) => boolean,
): Promise<IdentityRef[]> {
  const keys = await statuses.keys();
  const reported = new Map(keys.map((key) => [uidOf(key), key] as const));
  const named = new Map<string, IdentityKey>([
    ...[...owners].map(({ namespace, name, uid }) => [uid, `${namespace}/${name || uid}`] as const),
    ...reported,
  ]);
  return [...named]
    .filter(([uid]) => !isKnown(uid))
    .map(([uid, key]) => ({ metadata: metadataOf(uid, key) }));
}

function metadataOf(uid: string, key: IdentityKey): MeshCertificate["metadata"] {
  return { ...partsOf(key), uid };
}
