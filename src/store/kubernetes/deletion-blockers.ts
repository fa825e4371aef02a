import { requests } from "../../api/requests.ts";
import type { IdentityRef, Use } from "../store.ts";
import type { SeenIdentity } from "./identity.ts";

/** What is known beside a MeshCertificate itself. */
export interface Circumstances {
  /** Whether anything is published for it, or it bears our finalizer. */
  readonly isPublished: boolean;
  /** Who names what is published; nothing as long as it is not known. */
  readonly uses: readonly Use[] | undefined;
  /** Whether its namespace is being deleted and takes nothing new: then the identity cannot be kept. */
  readonly isNamespaceTerminating: boolean;
}

/** Whether the deletion of the MeshCertificate waits for no consumer. */
export function isForced({ annotations }: IdentityRef["metadata"]): boolean {
  return annotations?.[requests.forceDelete] === "true";
}

/**
 * Whether an identity is to be kept published or withdrawn. One that is being deleted is kept as long as anything uses
 * it, or may.
 */
export function deletionOf(
  { metadata }: SeenIdentity,
  { isPublished, uses, isNamespaceTerminating }: Circumstances,
): "keep" | "withdraw" {
  if (metadata.deletionTimestamp === undefined) return "keep";
  if (!isPublished || isNamespaceTerminating || isForced(metadata)) return "withdraw";
  return uses?.length === 0 ? "withdraw" : "keep";
}
