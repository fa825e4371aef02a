import type { IdentityKey, MeshCertificate } from "../../api/mesh-certificate.ts";
import { type ContextIndex, type NameConflict, nameConflicts } from "../../emissary/name-conflicts.ts";
import type { SecretName, SecretUser } from "../../emissary/tls-context.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { targetNames, targetObjects } from "../../render/names.ts";
import type { Owner } from "../backend.ts";
import type { OwnedObjects } from "../owned-objects.ts";
import { type Contexts, observedOf } from "./contexts.ts";
import type { Identities } from "./identities.ts";

/** What Emissary takes for what the identity publishes, or uses it from elsewhere. */
export function conflictsOf(identity: MeshCertificate, contexts: ContextIndex): NameConflict[] {
  const { tlsContext: name } = targetNames(identity);
  const { namespace } = identity.metadata;
  const context = { name, ambassadorIds: identity.spec.target.tlsContext.ambassadorId };
  const secrets = targetObjects(identity).filter(({ kind }) => kind === "Secret");
  return nameConflicts({ namespace, context, secrets: secrets.map((secret) => secret.name) }, contexts);
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

  /** After a change of any TLSContext or Host, but for the identity that published it. */
  byUser(user: SecretUser, before = user): IdentityKey[] {
    const { kind, name, namespace } = user;
    const observed = observedOf(user);
    const own = observed && `${namespace}/${observed.annotations[ownershipAnnotations.name]}`;
    const wanting = kind === "TLSContext" ? this.#ports.identities.wanting(name) : [];
    return [
      // One of another name or namespace is no drift of its object.
      ...wanting.filter((key) => observed === undefined || !key.startsWith(`${namespace}/`)),
      ...this.#bySecrets([...user.secrets, ...before.secrets]).filter((key) => key !== own),
    ];
  }

  /** After a change of a consumer of contexts of that name. */
  byUse(context: string): IdentityKey[] {
    const { identities, owned, contexts, keyOf } = this.#ports;
    return [
      ...owned.contextsNamed(context).map(({ owner }) => keyOf(owner)),
      ...identities.wanting(context),
      // Another context of that name may name the Secrets of further identities.
      ...this.#bySecrets(contexts.named(context).flatMap(({ secrets }) => secrets)),
    ];
  }

  all(): IdentityKey[] {
    const { identities, owned, keyOf } = this.#ports;
    return [...Array.from(owned.all(), ({ owner }) => keyOf(owner)), ...identities.keys()];
  }

  #bySecrets(secrets: readonly SecretName[]): IdentityKey[] {
    const { owned, keyOf } = this.#ports;
    return secrets.flatMap(({ namespace, name }) => {
      const owner = owned.get({ kind: "Secret", namespace, name })?.owner;
      return owner === undefined ? [] : keyOf(owner);
    });
  }
}
