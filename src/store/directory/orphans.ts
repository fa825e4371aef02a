import { basename, dirname } from "node:path";
import type { IdentityKey, MeshCertificate } from "../../api/mesh-certificate.ts";
import type { IdentityRef } from "../store.ts";
import { uidOf } from "./identities.ts";
import type { OwnedFiles } from "./owned-files.ts";
import type { StatusFiles } from "./status-files.ts";

/**
 * Identities of which something is published or reported, and that `isKnown` does not know: they were removed
 * while attaché did not run. The UID replaces the name of an identity whose status is lost.
 */
export async function orphans(
  owned: OwnedFiles,
  statuses: StatusFiles,
  isKnown: (uid: string) => boolean,
): Promise<IdentityRef[]> {
  const keys = await statuses.keys();
  const reported = new Map(keys.map((key) => [uidOf(key), key] as const));
  const published = [...owned.uids].flatMap((uid) => owned.of(uid)[0] ?? []);
  const named = new Map<string, IdentityKey>([
    ...published.map(({ uid, path }) => [uid, `${basename(dirname(path))}/${uid}`] as const),
    ...reported,
  ]);
  return [...named]
    .filter(([uid]) => !isKnown(uid))
    .map(([uid, key]) => ({ metadata: metadataOf(uid, key) }));
}

function metadataOf(uid: string, key: IdentityKey): MeshCertificate["metadata"] {
  const [namespace = "", name = ""] = key.split("/");
  return { namespace, name, uid };
}
