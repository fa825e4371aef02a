import type { IdentityKey, MeshCertificate } from "../../api/mesh-certificate.ts";
import { type ContextIndex, type NameConflict, nameConflicts } from "../../emissary/name-conflicts.ts";
import type { SecretName } from "../../emissary/tls-context.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { targetNames } from "../../render/names.ts";
import type { Owner } from "../backend.ts";
import type { OwnedObjects } from "../owned-objects.ts";
import type { Contexts, SeenContext } from "./contexts.ts";
import type { Identities } from "./identities.ts";

/** What Emissary takes for what the identity publishes, in other namespaces. */
export function conflictsOf(identity: MeshCertificate, contexts: ContextIndex): NameConflict[] {
  const { secret, caSecret, tlsContext: name } = targetNames(identity);
  const { namespace } = identity.metadata;
  const context = { name, ambassadorIds: identity.spec.target.tlsContext.ambassadorId };
  return nameConflicts({ namespace, context, secrets: [secret, caSecret] }, contexts);
}

interface ConcernedPorts {
  readonly identities: Identities;
  readonly owned: OwnedObjects;
  readonly contexts: Contexts;
  readonly keyOf: (owner: Owner) => IdentityKey;
}

/** Finds the identities whose uses or conflicts may differ after a change. */
export class Concerned {
  readonly #ports: ConcernedPorts;

  constructor(ports: ConcernedPorts) {
    this.#ports = ports;
  }

  /** After a change of any TLSContext, but for the identity that published it. */
  byContext(context: SeenContext, before = context): IdentityKey[] {
    const { name, namespace, observed } = context;
    const own = `${namespace}/${observed.annotations[ownershipAnnotations.name]}`;
    return [
      ...this.#ports.identities.wanting(name).filter((key) => !key.startsWith(`${namespace}/`)),
      ...this.bySecrets([...context.secrets, ...before.secrets]).filter((key) => key !== own),
    ];
  }

  /** After a change of a consumer of contexts of that name. */
  byUse(context: string): IdentityKey[] {
    const { identities, owned, contexts, keyOf } = this.#ports;
    return [
      ...owned.contextsNamed(context).map(({ owner }) => keyOf(owner)),
      ...identities.wanting(context),
      // Another context of that name may name the Secrets of further identities.
      ...this.bySecrets(contexts.named(context).flatMap(({ secrets }) => secrets)),
    ];
  }

  bySecrets(secrets: readonly SecretName[]): IdentityKey[] {
    const { owned, keyOf } = this.#ports;
    return secrets.flatMap(({ namespace, name }) => {
      const owner = owned.get({ kind: "Secret", namespace, name })?.owner;
      return owner === undefined ? [] : keyOf(owner);
    });
  }

  all(): IdentityKey[] {
    const { identities, owned, keyOf } = this.#ports;
    return [...Array.from(owned.all(), ({ owner }) => keyOf(owner)), ...identities.keys()];
  }
}
