import type { Consumer, ContextName, MappingChange } from "../../emissary/consumer.ts";
import { overlap } from "../../emissary/fields.ts";
import type { TlsContext } from "../../emissary/tls-context.ts";
import type { TlsContextManifest } from "../../render/manifest.ts";
import type { Use } from "../store.ts";
import { StoreError } from "../store.ts";
import { type ObjectRef, refOfManifest } from "./observed-object.ts";
import type { OwnedObject } from "./owned-objects.ts";

export interface ContextNamePorts {
  /** All TLSContexts of that name, whatever their owner. */
  readonly contexts: (name: string) => readonly TlsContext[];
  /** What this process has published or is about to. */
  readonly entries: () => Iterable<OwnedObject>;
  readonly uses: ContextUses;
}

const remedy = "Choose another name with `spec.target.tlsContext.name`.";

/**
 * Why a new TLSContext cannot have its name, to Emissary: it knows one context of a name, whatever the namespace
 * (emissary#5106), and one that is called HOST-context takes the Host's certificate away.
 */
export function nameConflict(manifest: TlsContextManifest, ports: ContextNamePorts): StoreError | undefined {
  const { namespace, name } = manifest.metadata;
  const { ambassador_id: ids } = manifest.spec;
  const other = ports
    .contexts(name)
    .find((context) => context.namespace !== namespace && overlap(context.ambassadorIds, ids));
  if (other !== undefined) return namesake(manifest, other.namespace);
  for (const entry of ports.entries()) {
    if (entry.kind === "TLSContext" && entry.name === name && entry.namespace !== namespace) {
      // Which Emissary will see a context that does not exist yet is unknown.
      if (entry.seen === undefined) return namesake(manifest, entry.namespace);
    }
  }
  const host = /^(.+)-context$/.exec(name)?.[1];
  if (host === undefined || !ports.uses.hasHost(host, ids)) return undefined;
  return taken(
    refOfManifest(manifest),
    `Emissary makes a context of this name for the Host "${host}"`,
    remedy,
  );
}

function namesake(manifest: TlsContextManifest, namespace: string): StoreError {
  const because = `there is one of this name in the namespace "${namespace}", and to Emissary they are the same`;
  return taken(refOfManifest(manifest), because, remedy);
}

export function taken({ kind, namespace, name }: ObjectRef, because: string, remedy?: string): StoreError {
  return new StoreError("ATTACHE_STORE_TARGET_TAKEN", `${kind} ${namespace}/${name} is taken: ${because}`, {
    remedy:
      remedy ??
      "Choose another name under `spec.target`, remove the other object, or have it taken over with `spec.target.adopt: true`.",
  });
}

/** Who names TLSContexts, in all that Emissary reads. */
export interface ContextUses {
  /** In an order that does not change by itself; nothing as long as not everything was listed: then all may be in use. */
  usesOf(context: ContextName): readonly Use[] | undefined;
  /** As the API server has it at this moment: to be asked before what cannot be undone, as a watch may be behind. @throws ApiError */
  isUsed(context: ContextName): Promise<boolean>;
  /** Whether there is a Host of that name in an Emissary that sees one of `ambassadorIds`. */
  hasHost(name: string, ambassadorIds: readonly string[]): boolean;
  /** All consumers that name a context; nothing until every list is read. */
  all(): Iterable<Consumer> | undefined;
  readonly mappings?: MappingChange | undefined;
  /** Calls `listener` with the name of each context of which {@link usesOf} may say something new; without one for all. */
  onChange(listener: (context: string | undefined) => void): Disposable;
}

/** Where nothing names a TLSContext: without an Emissary. */
export const noUses: ContextUses = {
  usesOf: () => [],
  isUsed: () => Promise.resolve(false),
  hasHost: () => false,
  all: () => [],
  onChange: () => ({ [Symbol.dispose]: () => undefined }),
};
