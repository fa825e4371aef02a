import type { IdentityKey, MeshCertificate } from "../../api/mesh-certificate.ts";
import type { ContextName } from "../../emissary/consumer.ts";
import { type NameConflict, nameConflicts } from "../../emissary/name-conflicts.ts";
import type { SecretName, SecretUser, TlsContext } from "../../emissary/tls-context.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { targetNames, targetObjects } from "../../render/names.ts";
import type { Owner } from "../backend.ts";
import type { OwnedObjects } from "../owned-objects.ts";
import type { ContextUses } from "./consumers.ts";
import { type Contexts, observedOf } from "./contexts.ts";
import type { Identities } from "./identities.ts";
import { identityKeyOf } from "./identity.ts";

/** All that was seen of the cluster, and what follows from it. */
export class ClusterState {
  readonly identities: Identities;
  readonly owned: OwnedObjects;
  readonly contexts: Contexts;
  readonly uses: ContextUses;
  /** UIDs of identities in namespaces that are being deleted. */
  readonly terminating = new Set<string>();

  constructor(identities: Identities, owned: OwnedObjects, contexts: Contexts, uses: ContextUses) {
    this.identities = identities;
    this.owned = owned;
    this.contexts = contexts;
    this.uses = uses;
  }

  /** The identity may have been restored, and have another UID now. */
  keyOf({ namespace, name, uid }: Owner): IdentityKey {
    const seen = this.identities.ofUid(uid);
    return seen === undefined ? `${namespace}/${name}` : identityKeyOf(seen);
  }

  /** The TLSContext that an identity is to publish. */
  wanted({ uid }: Owner): ContextName | undefined {
    return this.identities.ofUid(uid)?.context;
  }

  /** What Emissary takes for what the identity publishes, or uses it from elsewhere. */
  conflictsOf(identity: MeshCertificate): NameConflict[] {
    const { tlsContext: name } = targetNames(identity);
    const { namespace } = identity.metadata;
    const context = { name, ambassadorIds: identity.spec.target.tlsContext.ambassadorId };
    const secrets = targetObjects(identity).filter(({ kind }) => kind === "Secret");
    const names = { namespace, context, secrets: secrets.map((secret) => secret.name) };
    return nameConflicts(names, this.contexts);
  }

  /** Of others' contexts nothing more is known than what stands in them: their Secrets are not read. */
  unsoundness({ namespace, name }: TlsContext, now: Date): string | undefined {
    const owner = this.owned.get({ kind: "TLSContext", namespace, name })?.owner;
    if (owner === undefined) return undefined;
    const notAfter = this.identities.ofUid(owner.uid)?.status?.notAfter;
    if (notAfter === undefined || new Date(notAfter) > now) return undefined;
    return `its leaf expired at ${notAfter}; see the MeshCertificate ${this.keyOf(owner)}.`;
  }

  /** The identities whose uses or conflicts may differ after a change of any TLSContext or Host; not its publisher. */
  concernedByUser(user: SecretUser, before = user): IdentityKey[] {
    const { kind, name, namespace } = user;
    const observed = observedOf(user);
    const own = observed && `${namespace}/${observed.annotations[ownershipAnnotations.name]}`;
    const wanting = kind === "TLSContext" ? this.identities.wanting(name) : [];
    return [
      ...wanting.filter((key) => observed === undefined || !key.startsWith(`${namespace}/`)),
      ...this.#publishing([...user.secrets, ...before.secrets]).filter((key) => key !== own),
    ];
  }

  /** As {@link concernedByUser}, after a change of a consumer of contexts of that name. */
  concernedByUse(context: string): IdentityKey[] {
    return [
      ...this.owned.contextsNamed(context).map(({ owner }) => this.keyOf(owner)),
      ...this.identities.wanting(context),
      // Another context of that name may name the Secrets of further identities.
      ...this.#publishing(this.contexts.named(context).flatMap(({ secrets }) => secrets)),
    ];
  }

  /** All identities, and all for which something is published. */
  all(): IdentityKey[] {
    return [...Array.from(this.owned.all(), ({ owner }) => this.keyOf(owner)), ...this.identities.keys()];
  }

  #publishing(secrets: readonly SecretName[]): IdentityKey[] {
    return secrets.flatMap(({ namespace, name }) => {
      const owner = this.owned.get({ kind: "Secret", namespace, name })?.owner;
      return owner === undefined ? [] : this.keyOf(owner);
    });
  }
}
