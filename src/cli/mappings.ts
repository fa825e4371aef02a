import { type Consumer, consumerKey } from "../emissary/consumer.ts";
import type { Exposure } from "../emissary/exposure.ts";
import { exposuresIn } from "../doctor/exposures.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { consumerResources } from "../store/kubernetes/consumers.ts";
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
  const { consumers, exposures } = await exposuresIn({ api, namespace, readsSecrets: true });
  const exposureOf = new Map(exposures.map((exposure) => [exposure.consumer, exposure]));
  const rows = consumers.map((consumer) => ({ consumer, exposure: exposureOf.get(consumer) }));
  const notes = exposures.map(({ consumer, message }) => `${consumerKey(consumer)}: ${message}`);
  print(output, { rows, columns, data: rows.map(factsOf), notes, isBare, nameOf: objectName });
  if (exposures.length > 0) process.exitCode = 1;
}

const columns: readonly Column<Row>[] = [
  { heading: "NAME", cell: ({ consumer }) => consumerKey(consumer) },
  { heading: "TLSCONTEXT", cell: ({ consumer }) => sanitizePeerText(consumer.context) },
  { heading: "STATE", cell: ({ exposure }) => exposure?.severity.toUpperCase() ?? "protected" },
  { heading: "REASON", cell: ({ exposure }) => exposure?.reason ?? "-" },
  {
    heading: "AMBASSADOR ID",
    cell: ({ consumer }) => sanitizePeerText(consumer.ambassadorIds.join(",")),
    wide: true,
  },
];

/** As kubectl names it. */
function objectName({ consumer: { kind, name } }: Row): string {
  return `${kind.toLowerCase()}.${consumerResources[kind].group}/${name}`;
}

function factsOf({ consumer, exposure }: Row): Record<string, unknown> {
  const { kind, namespace, name, context, ambassadorIds } = consumer;
  const { severity: state = "protected", reason, message } = exposure ?? {};
  return { kind, namespace, name, context, ambassadorIds, state, reason, message };
}
