/** The annotations by which attaché knows its own objects again. */
export const marks = {
  /** The installation that published the object; a label, too, by which all of an installation can be selected. */
  installation: "attache.dev/installation",
  /** The UID of the MeshIdentity that it was published for. */
  identity: "attache.dev/identity",
  /** On the CA Secret: which roots it holds and when each retires, see `root-record.ts`. */
  roots: "attache.dev/roots",
} as const;
