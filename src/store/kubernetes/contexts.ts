import { type TlsContext, tlsContextOf } from "../../emissary/tls-context.ts";
import type { StoredObject } from "./api-object.ts";
import { type ObservedObject, observe } from "./observed-object.ts";

/** What is kept of a TLSContext, whatever its owner. */
export interface SeenContext extends TlsContext {
  readonly observed: ObservedObject;
}

export function seenContext(object: StoredObject, manager: string): SeenContext {
  // Of one without a spec the content is known, too.
  return { ...tlsContextOf(object), observed: observe("TLSContext", { spec: {}, ...object }, manager) };
}

/** All TLSContexts by name: to Emissary two of the same name are one, whatever the namespace. */
export class Contexts {
  readonly #byName = new Map<string, Map<string, SeenContext>>();

  named(name: string): SeenContext[] {
    return [...(this.#byName.get(name)?.values() ?? [])];
  }

  all(): SeenContext[] {
    return [...this.#byName.keys()].flatMap((name) => this.named(name));
  }

  see(context: SeenContext): void {
    const { name, namespace } = context;
    this.#byName.set(
      name,
      (this.#byName.get(name) ?? new Map<string, SeenContext>()).set(namespace, context),
    );
  }

  lose({ name, namespace, observed }: SeenContext): void {
    const sameName = this.#byName.get(name);
    if (sameName?.get(namespace)?.observed.uid !== observed.uid) return;
    sameName.delete(namespace);
    if (sameName.size === 0) this.#byName.delete(name);
  }
}
