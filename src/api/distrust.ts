import type { MeshCertificate } from "./mesh-certificate.ts";
import { requests } from "./requests.ts";

/** Fingerprints of the roots that must not be trusted once the mesh lists them no longer. */
export function distrustedOf({ metadata: { annotations } }: Pick<MeshCertificate, "metadata">): string[] {
  const value = annotations?.[requests.distrust] ?? "";
  return value
    .split(",")
    .map(plainFingerprint)
    .filter((one) => one.length === 64);
}

/** As attaché writes fingerprints, of what openssl and others write: `3F:A1…`. */
export function plainFingerprint(text: string): string {
  return text.replace(/[:\s]/g, "").toLowerCase();
}
