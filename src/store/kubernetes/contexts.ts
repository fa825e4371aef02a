import type { ContextIndex } from "../../emissary/name-conflicts.ts";
import { type SecretName, type TlsContext, tlsContextOf } from "../../emissary/tls-context.ts";
import type { ObservedObject } from "../backend.ts";
import type { StoredObject } from "./api-object.ts";
import { observe } from "./observe.ts";

/** What is kept of a TLSContext, whatever its owner. */
export interface SeenContext extends TlsContext {
  readonly observed: ObservedObject;
}

export function seenContext(object: StoredObject, manager: string): SeenContext {
  // Of one without a spec the content is known, too.
  return { ...tlsContextOf(object), observed: observe("TLSContext", { spec: {}, ...object }, manager) };
}

/** All TLSContexts by name: to Emissary two of the same name are one, whatever the namespace. */
export class Contexts implements ContextIndex {
  readonly #byName = new Map<string, Map<string, SeenContext>>();
  /** By `NAMESPACE/NAME` of what they name. */
  readonly #bySecret = new Map<string, Set<SeenContext>>();

  named(name: string): SeenContext[] {
    return [...(this.#byName.get(name)?.values() ?? [])];
  }

  naming({ namespace, name }: SecretName): SeenContext[] {
    return [...(this.#bySecret.get(`${namespace}/${name}`) ?? [])];
  }

  all(): SeenContext[] {
    return [...this.#byName.keys()].flatMap((name) => this.named(name));
  }

  /** Returns what was there in its place. */
  see(context: SeenContext): SeenContext | undefined {
    const { name, namespace } = context;
    const before = this.#byName.get(name)?.get(namespace);
    if (before !== undefined) this.#forgetSecrets(before);
    for (const secret of context.secrets) {
      const key = `${secret.namespace}/${secret.name}`;
      this.#bySecret.set(key, (this.#bySecret.get(key) ?? new Set()).add(context));
    }
    this.#byName.set(
      name,
      (this.#byName.get(name) ?? new Map<string, SeenContext>()).set(namespace, context),
    );
    return before;
  }

  lose({ name, namespace, observed }: SeenContext): void {
    const sameName = this.#byName.get(name);
    const seen = sameName?.get(namespace);
    if (seen === undefined || sameName === undefined || seen.observed.uid !== observed.uid) return;
    this.#forgetSecrets(seen);
    sameName.delete(namespace);
    if (sameName.size === 0) this.#byName.delete(name);
  }

  #forgetSecrets(context: SeenContext): void {
    for (const { namespace, name } of context.secrets) {
      const key = `${namespace}/${name}`;
      const others = this.#bySecret.get(key);
      others?.delete(context);
      if (others?.size === 0) this.#bySecret.delete(key);
    }
  }
}
