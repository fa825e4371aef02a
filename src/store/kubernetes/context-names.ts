import { overlap } from "../../emissary/fields.ts";
import type { TlsContext } from "../../emissary/tls-context.ts";
import type { TlsContextManifest } from "../../render/manifest.ts";
import { type ObjectRef, refOfPart } from "../backend.ts";
import type { ContextUses } from "../context-uses.ts";
import type { OwnedObject } from "../owned-objects.ts";
import { StoreError } from "../store.ts";

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
  return taken(refOfPart(manifest), `Emissary makes a context of this name for the Host "${host}"`, remedy);
}

function namesake(manifest: TlsContextManifest, namespace: string): StoreError {
  const because = `there is one of this name in the namespace "${namespace}", and to Emissary they are the same`;
  return taken(refOfPart(manifest), because, remedy);
}

export function taken({ kind, namespace, name }: ObjectRef, because: string, remedy?: string): StoreError {
  return new StoreError("ATTACHE_STORE_TARGET_TAKEN", `${kind} ${namespace}/${name} is taken: ${because}`, {
    remedy:
      remedy ??
      "Choose another name under `spec.target`, remove the other object, or have it taken over with `spec.target.adopt: true`.",
  });
}
