import { consumerKey, type ContextName } from "../../emissary/consumer.ts";
import { contextAsUser, namesSecret, type SecretUser } from "../../emissary/secret-users.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { isOwnerOrHeir, type ObjectRef, type Owner } from "../backend.ts";
import type { ContextUses } from "../context-uses.ts";
import type { OwnedObjects } from "../owned-objects.ts";
import type { Use } from "../store.ts";
import type { Contexts } from "./contexts.ts";

export interface SecretUsesPorts {
  readonly contexts: Contexts;
  readonly owned: OwnedObjects;
  readonly uses: ContextUses;
  /** The TLSContext that an identity wants. */
  readonly wanted: (owner: Owner) => ContextName | undefined;
}

/** Who names the Secrets of an identity, beside its own contexts. */
export class SecretUses {
  readonly #ports: SecretUsesPorts;

  constructor(ports: SecretUsesPorts) {
    this.#ports = ports;
  }

  /** With the consumers of these users; nothing as long as not everything was listed. */
  of(secrets: readonly ObjectRef[], owner: Owner): readonly Use[] | undefined {
    const { uses } = this.#ports;
    if (secrets.length === 0) return [];
    if (uses.all() === undefined) return undefined;
    const users = secrets.flatMap((secret) => [...this.#contextsOf(secret, owner), ...uses.usersOf(secret)]);
    const all = users.flatMap((user) => [
      { kind: user.kind, namespace: user.namespace, name: user.name },
      ...(user.context === undefined ? [] : (uses.usesOf(user.context) ?? [])),
    ]);
    const distinct = new Map(all.map((use) => [consumerKey(use), use]));
    return [...distinct].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, use]) => use);
  }

  /** At this moment, as {@link ContextUses.isUsed}. @throws ApiError */
  isUsed(secrets: readonly ObjectRef[], owner: Owner): Promise<boolean> {
    return this.#ports.uses.isAnyUsed(secrets, (user) => this.#isOwn(user, owner));
  }

  #contextsOf(secret: ObjectRef, owner: Owner): SecretUser[] {
    return (
      this.#ports.contexts
        .naming(secret)
        // The watch may still show one that was just removed.
        .filter(({ observed }) => observed.annotations[ownershipAnnotations.identity] !== owner.uid)
        .flatMap((context) => contextAsUser(context) ?? [])
        .filter((user) => namesSecret(user, secret) && !this.#isOwn(user, owner))
    );
  }

  /** Also one that has taken the place of the identity's own context: that is a refusal, and no use. */
  #isOwn({ kind, namespace, name }: SecretUser, owner: Owner): boolean {
    const { owned, wanted } = this.#ports;
    if (kind !== "TLSContext") return false;
    if (namespace === owner.namespace && name === wanted(owner)?.name) return true;
    const context = owned.get({ kind, namespace, name });
    return context !== undefined && isOwnerOrHeir(owner, context.owner);
  }
}
