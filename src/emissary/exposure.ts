import type { Consumer } from "./consumer.ts";
import type { TlsContext } from "./tls-context.ts";

/**
 * How badly a consumer is exposed, the worst first:
 * - `plaintext`: Emissary sends its requests unencrypted, to port 80 where the service names none;
 * - `anonymous`: encrypted and without a client certificate, which a strict mesh answers with 503;
 * - `unverified`: with a client certificate, to whoever answers.
 */
export const grades = ["plaintext", "anonymous", "unverified"] as const;
export type Grade = (typeof grades)[number];

export interface Exposure {
  readonly consumer: Consumer;
  readonly grade: Grade;
  readonly reason: ExposureReason;
  /** What is so, and what to do. */
  readonly message: string;
}

/** In CamelCase, as reasons of conditions and Events are. */
export type ExposureReason =
  | "ContextMissing"
  | "ContextNotPublished"
  | "ContextOfOtherAmbassadorId"
  | "ContextUnsound"
  | "UpstreamNotVerified";

/** What is known of contexts besides what stands in them. */
export interface ContextFacts {
  /** Why Emissary drops it, or a mesh refuses its leaf; `undefined`: it is sound, or nothing speaks against it. */
  unsoundness(context: TlsContext): string | undefined;
  /** The MeshCertificates that are to publish contexts, by the context's name. */
  publishers(): ReadonlyMap<string, string>;
}

/**
 * Who is exposed, of those that originate TLS: a Host's context is for the downstream side. A context counts for a
 * consumer in each Emissary that sees both; the worst of them is told.
 *
 * What Emissary does with a broken context is observed: a cluster without TLS (emissary-ingress 4.1, `ir.ircluster`).
 */
export function exposuresOf(
  consumers: Iterable<Consumer>,
  contexts: Iterable<TlsContext>,
  facts: ContextFacts,
): Exposure[] {
  const byName = namesakes(contexts);
  let publishers: ReadonlyMap<string, string> | undefined;
  return [...consumers]
    .filter(({ kind }) => kind !== "Host")
    .flatMap((consumer) => {
      const named = byName.get(consumer.context);
      if (named !== undefined) return exposureOf(consumer, named, facts) ?? [];
      publishers ??= facts.publishers();
      return missing(consumer, publishers.get(consumer.context));
    });
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
  const grade = gradeWithout(consumer);
  if (publisher !== undefined) {
    return {
      consumer,
      grade,
      reason: "ContextNotPublished",
      message: `The MeshCertificate ${publisher} has not published the TLSContext "${shown}" yet: its status says why.`,
    };
  }
  return {
    consumer,
    grade,
    reason: "ContextMissing",
    message: `There is no TLSContext "${shown}": correct tls:, or create the MeshCertificate that publishes it.`,
  };
}

/** What becomes of it without its context. */
function gradeWithout({ isHttps }: Consumer): Grade {
  return isHttps ? "anonymous" : "plaintext";
}

function exposureOf(consumer: Consumer, named: Namesakes, facts: ContextFacts): Exposure | undefined {
  const exposures = consumer.ambassadorIds.flatMap((id) => exposureIn(id, consumer, named, facts) ?? []);
  const [worst] = exposures.toSorted((one, other) => grades.indexOf(one.grade) - grades.indexOf(other.grade));
  return worst;
}

/** In the Emissary of that `ambassador_id`. */
function exposureIn(
  id: string,
  consumer: Consumer,
  named: Namesakes,
  facts: ContextFacts,
): Exposure | undefined {
  const { context: name } = consumer;
  const grade = gradeWithout(consumer);
  const seen = named.byId.get(id);
  if (seen === undefined) {
    return {
      consumer,
      grade,
      reason: "ContextOfOtherAmbassadorId",
      message: `The TLSContext "${name}" (namespace ${named.first.namespace}) is not for the ambassador_id "${printable(id)}": add it under spec.target.tlsContext.ambassadorId of its MeshCertificate.`,
    };
  }
  const because = facts.unsoundness(seen);
  if (because !== undefined) {
    return {
      consumer,
      grade,
      reason: "ContextUnsound",
      message: `The TLSContext "${name}" (namespace ${seen.namespace}) is not sound: ${because}`,
    };
  }
  if (seen.caSecret !== undefined) return undefined;
  return {
    consumer,
    grade: "unverified",
    reason: "UpstreamNotVerified",
    message: `The TLSContext "${name}" (namespace ${seen.namespace}) has no ca_secret: any server is believed. Name a Secret with the mesh's roots in tls.crt.`,
  };
}

/** What stands in a Mapping its author has chosen: no control characters, and no more than a name has. */
function printable(text: string): string {
  return text.slice(0, 254).replace(/[\p{C}\s]+/gu, " ");
}
