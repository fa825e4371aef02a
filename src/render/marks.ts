/** The annotations by which attaché knows its own objects again. */
export const ownershipAnnotations = {
  /** The installation that published the object; a label, too, by which all of an installation can be selected. */
  installation: "attache.dev/installation",
  /** The UID of the MeshCertificate that it was published for. */
  identity: "attache.dev/identity",
  /** Its name: one of that name may go on from what is published after it was restored, or its CRD was. */
  name: "attache.dev/name",
  /** On the CA Secret: which roots it holds and when each retires, see `root-record.ts`. */
  roots: "attache.dev/roots",
  /** On an object that another client has made: it is given back at the end, and keeps what attaché has no field for. */
  adopted: "attache.dev/adopted",
  /** On a TLSContext: when the ingress was last made to read everything again. */
  nudge: "attache.dev/nudge",
} as const;

/** A label selector for what an installation published, and for its pods. */
export function selectorOf(installation: string): string {
  return `${ownershipAnnotations.installation}=${installation}`;
}

/** The field manager of an installation. */
export function managerOf(installation: string): string {
  return `attache.dev/${installation}`;
}
