import { type Consumer, consumerKey } from "./consumer.ts";
import type { TlsContext } from "./tls-context.ts";

/**
 * How insecure a consumer is, the worst first:
 * - `plaintext`: Emissary sends its requests unencrypted, to port 80 where the service names none;
 * - `anonymous`: encrypted, without a client certificate, which a strict mesh answers with 503;
 * - `unverified`: with a client certificate, to any server.
 */
export const severities = ["plaintext", "anonymous", "unverified"] as const;
export type Severity = (typeof severities)[number];

/** A consumer without the protection of its TLSContext: predicted from the objects, or observed in Envoy. */
export interface Exposure {
  readonly consumer: Consumer;
  readonly severity: Severity;
  readonly reason: ExposureReason;
  /** The problem and the remedy. */
  readonly message: string;
}

/** In CamelCase, as reasons of conditions and Events are. */
type ExposureReason =
  | "ContextMissing"
  | "ContextNotPublished"
  | "ContextOfOtherAmbassadorId"
  | "ContextUnsound"
  | "UpstreamNotVerified"
  /** Observed: its cluster presents no client certificate. */
  | "Exposed";

/** Facts about contexts besides their own fields. */
export interface ContextFacts {
  /** Why Emissary drops it, or a mesh refuses its leaf; `undefined` where no problem is known. */
  unsoundness(context: TlsContext): string | undefined;
  /** The MeshCertificates that are to publish contexts, by the context's name. */
  publishers(): ReadonlyMap<string, string>;
}

/**
 * The one verdict on each exposed consumer, the prediction confronted with the observation. Hosts have none:
 * their context is for the downstream side. A context counts for a consumer in each Emissary that sees both;
 * the worst exposure decides.
 *
 * Emissary makes a cluster without TLS for a broken context (observed; emissary-ingress 4.1, `ir.ircluster`).
 * @param observed by {@link observedExposure}; those of consumers that name another context since are ignored
 * @param kept by `consumerKey`: what the objects predict for them is not so, as their Envoys take nothing
 */
export function exposuresOf(
  consumers: Iterable<Consumer>,
  contexts: Iterable<TlsContext>,
  facts: ContextFacts,
  observed: Iterable<Exposure> = [],
  kept: ReadonlySet<string> = new Set(),
): Exposure[] {
  const byName = namesakes(contexts);
  const seen = new Map([...observed].map((one) => [consumerKey(one.consumer), one]));
  let publishers: ReadonlyMap<string, string> | undefined;
  const predict = (consumer: Consumer): Exposure | undefined => {
    const named = byName.get(consumer.context);
    if (named !== undefined) return exposureOf(consumer, named, facts);
    publishers ??= facts.publishers();
    return missing(consumer, publishers.get(consumer.context));
  };
  return [...consumers]
    .filter(({ kind }) => kind !== "Host")
    .flatMap((consumer) => {
      const key = consumerKey(consumer);
      const observation = seen.get(key);
      const isCurrent = observation?.consumer.context === consumer.context;
      const predicted = kept.has(key) ? undefined : predict(consumer);
      return verdictOf(predicted, isCurrent ? observation : undefined) ?? [];
    });
}

/** The observation in Envoy outweighs the prediction, which explains it. */
function verdictOf(predicted: Exposure | undefined, observed: Exposure | undefined): Exposure | undefined {
  if (predicted === undefined || observed === undefined) return observed ?? predicted;
  return { ...observed, message: `${observed.message} ${predicted.message}` };
}

/** The exposure of a consumer whose cluster in Envoy presents no client certificate. */
export function observedExposure(consumer: Consumer): Exposure {
  const { kind, context } = consumer;
  return exposed(
    consumer,
    "Exposed",
    `Requests leave without a client certificate NOW: Envoy does not use the TLSContext "${printable(context)}" for this ${kind}. See Emissary's diagnostics.`,
  );
}

/** The exposure of a consumer that Emissary treats as if it had no context. */
function exposed(consumer: Consumer, reason: ExposureReason, message: string): Exposure {
  return { consumer, severity: consumer.isHttps ? "anonymous" : "plaintext", reason, message };
}

/** The contexts of one name. */
interface Namesakes {
  readonly first: TlsContext;
  /** Which of them the Emissary of an `ambassador_id` sees. */
  readonly byId: Map<string, TlsContext>;
}

function namesakes(contexts: Iterable<TlsContext>): ReadonlyMap<string, Namesakes> {
  const byName = new Map<string, Namesakes>();
  for (const context of contexts) {
    const named = byName.get(context.name) ?? { first: context, byId: new Map<string, TlsContext>() };
    byName.set(context.name, named);
    for (const id of context.ambassadorIds) if (!named.byId.has(id)) named.byId.set(id, context);
  }
  return byName;
}

function missing(consumer: Consumer, publisher: string | undefined): Exposure {
  const shown = printable(consumer.context);
  return publisher === undefined
    ? exposed(
        consumer,
        "ContextMissing",
        `There is no TLSContext "${shown}": correct tls:, or create the MeshCertificate that publishes it.`,
      )
    : exposed(
        consumer,
        "ContextNotPublished",
        `The MeshCertificate ${publisher} has not published the TLSContext "${shown}" yet: its status says why.`,
      );
}

function exposureOf(consumer: Consumer, named: Namesakes, facts: ContextFacts): Exposure | undefined {
  const exposures = consumer.ambassadorIds.flatMap((id) => exposureIn(id, consumer, named, facts) ?? []);
  const [worst] = exposures.toSorted(
    (one, other) => severities.indexOf(one.severity) - severities.indexOf(other.severity),
  );
  return worst;
}

/** In the Emissary with this `ambassador_id`. */
function exposureIn(
  id: string,
  consumer: Consumer,
  named: Namesakes,
  facts: ContextFacts,
): Exposure | undefined {
  const { context: name } = consumer;
  const seen = named.byId.get(id);
  if (seen === undefined) {
    return exposed(
      consumer,
      "ContextOfOtherAmbassadorId",
      `The TLSContext "${name}" (namespace ${named.first.namespace}) is not for the ambassador_id "${printable(id)}": add it under spec.target.tlsContext.ambassadorId of its MeshCertificate.`,
    );
  }
  const because = facts.unsoundness(seen);
  const what = `The TLSContext "${name}" (namespace ${seen.namespace})`;
  if (because !== undefined) return exposed(consumer, "ContextUnsound", `${what} is not sound: ${because}`);
  if (seen.caSecret !== undefined) return undefined;
  return {
    consumer,
    severity: "unverified",
    reason: "UpstreamNotVerified",
    message: `${what} has no ca_secret: any server is accepted. Name a Secret with the mesh's roots in tls.crt.`,
  };
}

/** Text of a Mapping, chosen by its author: without control characters, no longer than a name. */
function printable(text: string): string {
  return text.slice(0, 254).replace(/[\p{C}\s]+/gu, " ");
}
