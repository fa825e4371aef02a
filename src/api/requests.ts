/** The annotations by which somebody asks something of a MeshCertificate. */
export const requests = {
  /** Any new value asks for a new leaf, once. */
  renew: "attache.dev/renew",
  /** Fingerprints, separated by commas: of these roots none is retained, now and for as long as they stand there. */
  distrust: "attache.dev/distrust",
  /** `"true"`: withdraw what is published also while somebody uses it. */
  forceDelete: "attache.dev/force-delete",
} as const;
