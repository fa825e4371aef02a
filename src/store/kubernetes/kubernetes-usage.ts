import { consumerKey, type ContextName } from "../../emissary/consumer.ts";
import { usesSecret } from "../../emissary/secret-users.ts";
import type { SecretName, SecretUser } from "../../emissary/tls-context.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { allOf } from "../../runtime/semaphore.ts";
import { isOwnerOrHeir, type Owner } from "../backend.ts";
import type { OwnedObject } from "../owned-objects.ts";
import type { Use } from "../store.ts";
import { contextOf, seenOf, type Usage } from "../usage.ts";
import type { ClusterState } from "./cluster-state.ts";
import { observedOf } from "./contexts.ts";

/** Who names what is published in a cluster: consumers its TLSContexts, other TLSContexts and Hosts its Secrets. */
export class KubernetesUsage implements Usage {
  readonly #state: ClusterState;

  constructor(state: ClusterState) {
    this.#state = state;
  }

  ofContext(context: ContextName): readonly Use[] | undefined {
    return this.#state.uses.usesOf(context);
  }

  of(objects: readonly OwnedObject[], owner: Owner): readonly Use[] | undefined {
    const ofContexts = this.#contextsOf(objects, owner).map((context) => this.ofContext(context));
    const all = [...ofContexts, this.#ofSecrets(seenOf("Secret", objects), owner)];
    return all.includes(undefined) ? undefined : all.flatMap((some) => some ?? []);
  }

  isContextUsedNow(context: ContextName): Promise<boolean> {
    return this.#state.uses.isUsed(context);
  }

  async isUsedNow(objects: readonly OwnedObject[], owner: Owner): Promise<boolean> {
    const { uses } = this.#state;
    const secrets = seenOf("Secret", objects);
    const used = await allOf([
      ...seenOf("TLSContext", objects).map((context) => uses.isUsed(contextOf(context))),
      uses.isAnyUsed(secrets, (user) => this.#isOwn(user, owner)),
    ]);
    return used.includes(true);
  }

  #contextsOf(objects: readonly OwnedObject[], owner: Owner): ContextName[] {
    const own = seenOf("TLSContext", objects).map(contextOf);
    const wanted = this.#state.wanted(owner);
    if (wanted === undefined || own.some(({ name }) => name === wanted.name)) return own;
    // Another client has deleted it, and its consumers wait for it.
    const isMissed = this.#state.contexts.named(wanted.name).every(({ holder }) => holder !== undefined);
    return isMissed && objects.some(({ seen }) => seen !== undefined) ? [...own, wanted] : own;
  }

  /** With the consumers of the contexts that name them. */
  #ofSecrets(secrets: readonly SecretName[], owner: Owner): readonly Use[] | undefined {
    const { uses, contexts } = this.#state;
    if (secrets.length === 0) return [];
    if (uses.all() === undefined) return undefined;
    const users = secrets.flatMap((secret) =>
      contexts.naming(secret).filter(
        (user) =>
          usesSecret(user, secret) &&
          !this.#isOwn(user, owner) &&
          // The watch may still show one that was just removed.
          observedOf(user)?.annotations[ownershipAnnotations.identity] !== owner.uid,
      ),
    );
    const all = users.flatMap((user) => [
      { kind: user.kind, namespace: user.namespace, name: user.name },
      ...(user.kind === "TLSContext" ? (this.ofContext(user) ?? []) : []),
    ]);
    const distinct = new Map(all.map((use) => [consumerKey(use), use]));
    return [...distinct].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, use]) => use);
  }

  /** Also one that has taken the place of the identity's own context: that is a refusal, and no use. */
  #isOwn({ kind, namespace, name, holder }: SecretUser, owner: Owner): boolean {
    if (kind !== "TLSContext" || holder !== undefined) return false;
    if (namespace === owner.namespace && name === this.#state.wanted(owner)?.name) return true;
    const context = this.#state.owned.get({ kind, namespace, name });
    return context !== undefined && isOwnerOrHeir(owner, context.owner);
  }
}
