import type { MeshCertificate } from "./mesh-certificate.ts";

/** The annotations by which a user requests an action for a MeshCertificate. */
export const requestAnnotations = {
  /** Any new value asks for a new leaf, once. */
  renew: "attache.dev/renew",
  /** Fingerprints, separated by commas: of these roots none is retained, now and for as long as they stand there. */
  distrust: "attache.dev/distrust",
  /** `"true"`: withdraw the published objects even while they are in use. */
  forceDelete: "attache.dev/force-delete",
} as const;

/** Fingerprints of the roots that must not be trusted once the mesh lists them no longer. */
export function distrustedOf({ metadata: { annotations } }: Pick<MeshCertificate, "metadata">): string[] {
  const value = annotations?.[requestAnnotations.distrust] ?? "";
  return value
    .split(",")
    .map(plainFingerprint)
    .filter((one) => one.length === 64);
}

/** As attaché writes fingerprints, of what openssl and others write: `3F:A1…`. */
export function plainFingerprint(text: string): string {
  return text.replace(/[:\s]/g, "").toLowerCase();
}

/** Whether the deletion of the MeshCertificate waits for no consumer. */
export function isForced({ annotations }: Pick<MeshCertificate["metadata"], "annotations">): boolean {
  return annotations?.[requestAnnotations.forceDelete] === "true";
}
