import type { ConsumerName } from "../../emissary/consumer.ts";
import { overlap } from "../../emissary/fields.ts";
import { partOf } from "../../emissary/name-conflicts.ts";
import type { TlsContextManifest } from "../../render/manifest.ts";
import { type ObjectRef, refOfPart } from "../backend.ts";
import { StoreError } from "../store.ts";
import type { ClusterState } from "./cluster-state.ts";

const remedy = "Choose another name with `spec.target.tlsContext.name`.";

/**
 * Why a new TLSContext cannot have its name, to Emissary: it knows one context of a name, whatever the namespace
 * (emissary#5106), and one that is called HOST-context takes the Host's certificate away.
 */
export function nameConflict(
  manifest: TlsContextManifest,
  { contexts, owned }: Pick<ClusterState, "contexts" | "owned">,
): StoreError | undefined {
  const { namespace, name } = manifest.metadata;
  const { ambassador_id: ids } = manifest.spec;
  const other = contexts
    .named(name)
    .find(
      (context) =>
        (context.namespace !== namespace || context.holder !== undefined) &&
        overlap(context.ambassadorIds, ids),
    );
  if (other !== undefined) return namesake(manifest, other.namespace, other.holder);
  // Which Emissary will see a context that does not exist yet is unknown.
  const planned = owned
    .contextsNamed(name)
    .find((context) => context.namespace !== namespace && context.seen === undefined);
  if (planned !== undefined) return namesake(manifest, planned.namespace);
  const host = /^(.+)-context$/.exec(name)?.[1];
  if (host === undefined || !contexts.hasHost(host, ids)) return undefined;
  return taken(refOfPart(manifest), `Emissary makes a context of this name for the Host "${host}"`, remedy);
}

function namesake(manifest: TlsContextManifest, namespace: string, holder?: ConsumerName): StoreError {
  const where = holder === undefined ? "" : ` in ${partOf(holder)}${holder.kind} ${holder.name}`;
  const because = `there is one of this name in the namespace "${namespace}"${where}, and to Emissary they are the same`;
  return taken(refOfPart(manifest), because, remedy);
}

export function taken({ kind, namespace, name }: ObjectRef, because: string, remedy?: string): StoreError {
  return new StoreError("ATTACHE_STORE_TARGET_TAKEN", `${kind} ${namespace}/${name} is taken: ${because}`, {
    remedy:
      remedy ??
      "Choose another name under `spec.target`, remove the other object, or have it taken over with `spec.target.adopt: true`.",
  });
}
