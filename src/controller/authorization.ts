import { type MeshCertificate, sourceOf } from "../api/mesh-certificate.ts";
import type { SpiffeIdPattern } from "../credentials/spiffe-id.ts";
import { targetNames } from "../render/names.ts";
import type { Allow } from "./allow.ts";
import type { OpenMesh } from "./open-mesh.ts";

/** What an identity may have, or why nothing is asked of its mesh. */
export type Authorization =
  | {
      readonly kind: "granted";
      /** The SPIFFE IDs that count as the identity. */
      readonly expected: SpiffeIdPattern;
      readonly allowed: readonly SpiffeIdPattern[];
    }
  | { readonly kind: "refused"; readonly error: unknown };

/** Decided from the spec and the settings alone, before anything is sent to a mesh. */
export function authorize(identity: MeshCertificate, mesh: OpenMesh, allow: Allow): Authorization {
  const { namespace } = identity.metadata;
  try {
    const expected = mesh.expected(sourceOf(identity).identity, { namespace });
    const { tlsContext } = targetNames(identity);
    return {
      kind: "granted",
      expected,
      allowed: allow({ namespace, mesh: mesh.name, expected, tlsContext }),
    };
  } catch (error) {
    return { kind: "refused", error };
  }
}
