import { type Consumer, consumerKinds, consumerOf } from "../emissary/consumer.ts";
import { type Exposure, exposuresOf } from "../emissary/exposure.ts";
import { contextsIn, listed, unsoundContexts } from "../doctor/contexts.ts";
import type { KubeClient } from "../kube/client.ts";
import { hasCode } from "../kube/api-error.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { keyOf } from "../api/mesh-certificate.ts";
import { targetNames } from "../render/names.ts";
import { consumerResources } from "../store/kubernetes/consumers.ts";
import { viewCluster } from "../store/kubernetes/view.ts";
import { type Column, type Output, print } from "./output.ts";
import type { ClusterPlace } from "./place.ts";

interface Row {
  readonly consumer: Consumer;
  readonly exposure: Exposure | undefined;
}

/** Prints everything whose `tls:` names a TLSContext, and how it is exposed; exit status 1 if anything is. */
export async function mappings(
  { api, namespace }: ClusterPlace,
  { output, isBare }: { readonly output: Output; readonly isBare: boolean },
): Promise<void> {
  const consumers = await consumersIn(api, namespace);
  const names = new Set(consumers.map(({ context }) => context));
  const contexts = (await contextsIn(api, namespace)).filter(({ name }) => names.has(name));
  const unsound = await unsoundContexts(api, contexts);
  const publishers = await publishersIn(api, namespace);
  const exposures = exposuresOf(consumers, contexts, {
    unsoundness: (context) => unsound.get(context)?.because,
    publishers: () => publishers,
  });
  const exposureOf = new Map(exposures.map((exposure) => [exposure.consumer, exposure]));
  const rows = consumers.map((consumer) => ({ consumer, exposure: exposureOf.get(consumer) }));
  const notes = exposures.map(({ consumer, message }) => `${nameOf(consumer)}: ${message}`);
  print(output, { rows, columns, data: rows.map(factsOf), notes, isBare, nameOf: objectName });
  if (exposures.length > 0) process.exitCode = 1;
}

const columns: readonly Column<Row>[] = [
  { heading: "NAME", cell: ({ consumer }) => nameOf(consumer) },
  { heading: "TLSCONTEXT", cell: ({ consumer }) => sanitizePeerText(consumer.context) },
  { heading: "STATE", cell: ({ exposure }) => exposure?.severity.toUpperCase() ?? "protected" },
  { heading: "REASON", cell: ({ exposure }) => exposure?.reason ?? "-" },
  {
    heading: "AMBASSADOR ID",
    cell: ({ consumer }) => sanitizePeerText(consumer.ambassadorIds.join(",")),
    wide: true,
  },
];

function nameOf({ kind, namespace, name }: Consumer): string {
  return `${kind} ${namespace}/${name}`;
}

/** As kubectl names it. */
function objectName({ consumer: { kind, name } }: Row): string {
  return `${kind.toLowerCase()}.${consumerResources[kind].group}/${name}`;
}

function factsOf({ consumer, exposure }: Row): Record<string, unknown> {
  const { kind, namespace, name, context, ambassadorIds } = consumer;
  const { severity: state = "protected", reason, message } = exposure ?? {};
  return { kind, namespace, name, context, ambassadorIds, state, reason, message };
}

async function consumersIn(api: KubeClient, namespace: string | undefined): Promise<Consumer[]> {
  const found = await Promise.all(
    consumerKinds.map(async (kind) => {
      const objects = await listed(api, consumerResources[kind], namespace);
      return objects.flatMap((object) => consumerOf(kind, object) ?? []);
    }),
  );
  return found.flat();
}

/** The MeshCertificates, by the name of the TLSContext that each publishes. */
async function publishersIn(
  api: KubeClient,
  namespace: string | undefined,
): Promise<ReadonlyMap<string, string>> {
  const { views } = await viewCluster(api, { namespace }).catch((error: unknown) => {
    if (isUnseen(error)) return { views: [] };
    throw error;
  });
  return new Map(views.map(({ identity }) => [targetNames(identity).tlsContext, keyOf(identity)]));
}

/** A kind that is forbidden to the user, or unknown to the cluster, does not hide the others. */
function isUnseen(error: unknown): boolean {
  return hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN", "ATTACHE_KUBERNETES_KIND_UNKNOWN");
}
