import { type IdentityOwner, type Certificate, type Credential, MeshError } from "../../src/mesh/adapter.ts";
import { printable } from "../../src/text/printable.ts";
import { parseSpiffeIdPattern } from "../../src/credentials/spiffe-id.ts";
import { definition, type IstioIdentity } from "./definition.ts";

/** @throws MeshError if the agent's identity is another one than is wanted. */
export function assertCarries(
  { chain: [leaf] }: Credential,
  identity: IstioIdentity,
  { namespace }: IdentityOwner,
): void {
  const { serviceAccount } = identity;
  if (serviceAccount === undefined) return;
  if (parseSpiffeIdPattern(definition.expected(identity, { namespace })).test(leaf.uris[0] ?? "")) return;
  throw new MeshError(
    "ATTACHE_MESH_IDENTITY_REFUSED",
    `the agent gives the identity of attaché's own pod, ${identityOf(leaf)}, and not that of the ServiceAccount ${namespace}/${serviceAccount}`,
    {
      remedy:
        "Use a mesh with `mode: istiod`, which gives each MeshCertificate the identity of a ServiceAccount of its namespace; or leave `serviceAccount` out to take attaché's own.",
    },
  );
}

/** The leaf's name, fit for a message. */
export function identityOf(leaf: Certificate): string {
  return printable(leaf.uris[0] ?? "a certificate without a SPIFFE ID");
}
