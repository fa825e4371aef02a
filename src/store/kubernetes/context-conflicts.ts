import type { IdentityKey, MeshCertificate } from "../../api/mesh-certificate.ts";
import { type ContextIndex, type NameConflict, nameConflicts } from "../../emissary/name-conflicts.ts";
import type { SecretName, TlsContext } from "../../emissary/tls-context.ts";
import { targetNames } from "../../render/names.ts";

/** What Emissary takes for what the identity publishes, in other namespaces. */
export function conflictsOf(identity: MeshCertificate, contexts: ContextIndex): NameConflict[] {
  const { secret, caSecret, tlsContext: name } = targetNames(identity);
  const { namespace } = identity.metadata;
  const context = { name, ambassadorIds: identity.spec.target.tlsContext.ambassadorId };
  return nameConflicts({ namespace, context, secrets: [secret, caSecret] }, contexts);
}

interface Owners {
  /** The identities that are to publish a TLSContext of that name. */
  wanting(context: string): readonly IdentityKey[];
  ofSecret(secret: SecretName): IdentityKey | undefined;
}

/** The identities whose conflicts may differ after a change of a TLSContext; its own is not among them. */
export function conflicting(versions: readonly TlsContext[], owners: Owners): ReadonlySet<IdentityKey> {
  return new Set(
    versions.flatMap(({ name, namespace, secrets }) => [
      ...owners.wanting(name).filter((key) => !key.startsWith(`${namespace}/`)),
      ...secrets
        .filter((secret) => secret.namespace !== namespace || secret.isImitation === true)
        .flatMap((secret) => owners.ofSecret(secret) ?? []),
    ]),
  );
}
