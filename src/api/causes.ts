import { keyOf, type MeshCertificate } from "./mesh-certificate.ts";
import type { Condition } from "./status.ts";

/** Nothing is published, and another condition says why. */
export function isConsequence({ type, reason }: Condition): boolean {
  return reason === "NotPublished" || (type === "Published" && reason === "Waiting");
}

/** The message without what differs between identities with the same problem. */
export function impersonal(message: string, identity: MeshCertificate): string {
  return message
    .replaceAll(keyOf(identity), "…")
    .replaceAll(/spiffe:\/\/[^\s,;"]+/g, "…")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "…");
}
