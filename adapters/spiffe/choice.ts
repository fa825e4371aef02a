import { MeshError } from "../../src/mesh/adapter.ts";
import { printable } from "../../src/text/printable.ts";
import type { SpiffeIdentity } from "./definition.ts";
import type { Svid } from "./svid.ts";

type Named = Pick<Svid, "id" | "hint">;

/**
 * The one of `svids` that is asked for. Never just the first: SPIRE orders them by the random IDs of their
 * entries, so that another entry for attaché would change who the ingress is.
 * @param held the SPIFFE ID that has been given or published so far. It is kept where no other choice is
 *   said, so that another entry for attaché is no reason to give it up.
 * @throws MeshError if there is none, or nothing says which.
 */
export function choose<S extends Named>(
  svids: readonly S[],
  identity: SpiffeIdentity,
  held: string | undefined,
): S {
  const fitting = svids.filter(
    (svid) => (identity.id ?? svid.id) === svid.id && (identity.hint ?? svid.hint) === svid.hint,
  );
  const [first] = fitting;
  if (first === undefined) throw absent(identity, svids);
  if (fitting.every(({ id }) => id === first.id)) return first;
  const kept = fitting.find(({ id }) => id === held);
  if (kept === undefined) throw ambiguous(fitting);
  return kept;
}

function absent({ id, hint }: SpiffeIdentity, svids: readonly Named[]): MeshError {
  const wanted = [
    id ?? "an identity",
    ...(hint === undefined ? [] : [`with the hint "${printable(hint)}"`]),
  ].join(" ");
  return new MeshError(
    "ATTACHE_MESH_FORBIDDEN",
    `the agent does not give attaché ${wanted}, only ${list(svids)}`,
    {
      remedy:
        "Create a registration entry for it whose selectors fit attaché's process, or correct `spiffe.id` or `spiffe.hint` in the MeshCertificate.",
    },
  );
}

function ambiguous(svids: readonly Named[]): MeshError {
  return new MeshError(
    "ATTACHE_MESH_IDENTITY_REFUSED",
    `the agent gives attaché several identities: ${list(svids)}`,
    {
      remedy: "Say which with `spiffe.id` or `spiffe.hint` in the MeshCertificate.",
    },
  );
}

const mostNamed = 5;

/** Sorted, so that the message stays the same for as long as it is true. */
export function list(svids: readonly Named[]): string {
  const names = [...new Set(svids.map(nameOf))].sort();
  const more = names.length - mostNamed;
  return [...names.slice(0, mostNamed), ...(more > 0 ? [`${more} more`] : [])].join(", ");
}

function nameOf({ id, hint }: Named): string {
  return hint === "" ? printable(id) : `${printable(id)} (hint "${printable(hint)}")`;
}
