/** The annotations by which a user requests an action for a MeshCertificate. */
export const requests = {
  /** Any new value asks for a new leaf, once. */
  renew: "attache.dev/renew",
  /** Fingerprints, separated by commas: of these roots none is retained, now and for as long as they stand there. */
  distrust: "attache.dev/distrust",
  /** `"true"`: withdraw the published objects even while they are in use. */
  forceDelete: "attache.dev/force-delete",
} as const;
