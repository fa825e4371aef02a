import { overlap } from "../../emissary/fields.ts";
import type { ContextIndex } from "../../emissary/name-conflicts.ts";
import {
  type SecretName,
  type SecretUser,
  type TlsContext,
  tlsContextOf,
} from "../../emissary/tls-context.ts";
import type { ObservedObject } from "../backend.ts";
import { Groups } from "../groups.ts";
import type { StoredObject } from "./api-object.ts";
import { observe } from "./observe.ts";

/** What is kept of a TLSContext, whatever its owner. */
export interface SeenContext extends TlsContext {
  readonly observed: ObservedObject;
}

export function seenContext(object: StoredObject, manager: string, known?: ObservedObject): SeenContext {
  // Of one without a spec the content is known, too.
  const observed = known ?? observe("TLSContext", { spec: {}, ...object }, manager);
  return { ...tlsContextOf(object), observed };
}

/** The mark of attaché on it; nothing in an annotation. */
export function observedOf(user: SecretUser): ObservedObject | undefined {
  return "observed" in user ? (user as SeenContext).observed : undefined;
}

/**
 * All TLSContexts and Hosts, objects and in annotations. To Emissary two of the same kind and name are one,
 * whatever the namespace.
 */
export class Contexts implements ContextIndex {
  readonly #byName = new Groups<SecretUser>();
  readonly #bySecret = new Groups<SecretUser>();

  named(name: string): TlsContext[] {
    return this.#byName.get(`TLSContext ${name}`).filter(isContext);
  }

  naming({ namespace, name }: SecretName): SecretUser[] {
    return this.#bySecret.get(`${namespace}/${name}`);
  }

  all(): TlsContext[] {
    return [...this.#byName.all()].filter(isContext);
  }

  /** Whether there is a Host of that name in an Emissary that sees one of `ambassadorIds`. */
  hasHost(name: string, ambassadorIds: readonly string[]): boolean {
    return this.#byName.get(`Host ${name}`).some((host) => overlap(host.ambassadorIds, ambassadorIds));
  }

  replace(before: SecretUser | undefined, after: SecretUser | undefined): void {
    if (before !== undefined) {
      this.#byName.delete(`${before.kind} ${before.name}`, before);
      for (const { namespace, name } of before.secrets) this.#bySecret.delete(`${namespace}/${name}`, before);
    }
    if (after === undefined) return;
    this.#byName.add(`${after.kind} ${after.name}`, after);
    for (const { namespace, name } of after.secrets) this.#bySecret.add(`${namespace}/${name}`, after);
  }
}

function isContext(user: SecretUser): user is TlsContext {
  return user.kind === "TLSContext";
}
