import { isDeepStrictEqual } from "node:util";
import { type Addressee, addresseeOf } from "../../api/addressee.ts";
import {
  apiVersion,
  type IdentityKey,
  keyOf,
  kind,
  type MeshCertificate,
  meshCertificate,
  type Status,
} from "../../api/mesh-certificate.ts";
import { requestAnnotations } from "../../api/requests.ts";
import { excessOf, tooLarge } from "../../api/size.ts";
import { status as statusSchema } from "../../api/status.ts";
import type { ContextName } from "../../emissary/consumer.ts";
import { targetNames } from "../../render/names.ts";
import { maxProblems } from "../../text/yaml/document-error.ts";
import { explain } from "../../text/yaml/explain.ts";
import { StoreError } from "../store.ts";
import type { StoredObject } from "./api-object.ts";

/** A MeshCertificate as it was at one resourceVersion. */
export interface SeenIdentity {
  readonly metadata: MeshCertificate["metadata"] & { readonly uid: string };
  readonly resourceVersion: string;
  /** Those of installations of attaché. */
  readonly finalizers: readonly string[];
  /** With its status; or why it cannot be read. */
  readonly content: MeshCertificate | StoreError;
  /** The TLSContext that it is to publish; absent while it cannot be read. */
  readonly context: ContextName | undefined;
  readonly addressee: Addressee;
  /** Absent where there is none, or none that we could have written. */
  readonly status: Status | undefined;
}

export function identityKeyOf({ metadata }: SeenIdentity): IdentityKey {
  return keyOf({ metadata });
}

/**
 * What is kept of a MeshCertificate of the API.
 * @param before what was kept of it so far. Its spec is read once in each generation, and what stays equal is kept once.
 * @param written the status that was just written.
 */
export function seenIdentity(object: StoredObject, before?: SeenIdentity, written?: Status): SeenIdentity {
  const { resourceVersion } = object.metadata;
  const finalizers = (object.metadata.finalizers ?? []).filter((one) => installationOf(one) !== undefined);
  const kept = sameOr(keptOf(object), before?.metadata);
  const status = statusOf(object.status, written, before?.status);
  const raw = { apiVersion, kind, metadata: kept, spec: object.spec } as const;
  const excess = object.isCut === true ? tooLarge : excessOf(raw);
  const spec = before && excess === undefined ? specAt(kept, before) : undefined;
  const parsed = spec ? { ...raw, spec } : parse(raw, excess);
  const metadata = parsed instanceof StoreError ? ofRefused(kept) : kept;
  const content = parsed instanceof StoreError ? parsed : { ...parsed, metadata, ...(status && { status }) };
  const { addressee, context } =
    spec && before ? before : { addressee: addresseeOf(object.spec), context: contextOf(content) };
  return { metadata, resourceVersion, finalizers, content, context, addressee, status };
}

/** The spec as it was read before, if it is still that: the API server counts its changes. */
function specAt(
  { uid, generation }: SeenIdentity["metadata"],
  { content, metadata }: SeenIdentity,
): MeshCertificate["spec"] | undefined {
  const isSame = generation !== undefined && metadata.generation === generation && metadata.uid === uid;
  return isSame && !(content instanceof StoreError) ? content.spec : undefined;
}

/** `undefined` if it is not what attaché writes. What is known is not read again. */
function statusOf(shown: unknown, ...known: readonly (Status | undefined)[]): Status | undefined {
  const same = known.find((status) => isDeepStrictEqual(shown, status));
  if (same !== undefined || shown === undefined || excessOf(shown) !== undefined) return same;
  return statusSchema.safeParse(shown).data;
}

function sameOr<T>(value: T, known: T | undefined): T {
  return known !== undefined && isDeepStrictEqual(value, known) ? known : value;
}

/** The finalizer of an installation, which keeps a MeshCertificate until what it published is withdrawn. */
export function finalizerOf(installation: string): string {
  return `${installation}${finalizerSuffix}`;
}

/** The installation whose finalizer it is; absent for a finalizer of others. */
export function installationOf(finalizer: string): string | undefined {
  return finalizer.endsWith(finalizerSuffix) ? finalizer.slice(0, -finalizerSuffix.length) : undefined;
}

const finalizerSuffix = ".attache.dev/published";

function contextOf(content: MeshCertificate | StoreError): ContextName | undefined {
  if (content instanceof StoreError) return undefined;
  const { ambassadorId } = content.spec.target.tlsContext;
  return { name: targetNames(content).tlsContext, ambassadorIds: ambassadorId };
}

function keptOf({ metadata }: StoredObject): SeenIdentity["metadata"] {
  const { name, namespace, uid, generation, creationTimestamp, deletionTimestamp, labels, annotations } =
    metadata;
  // The whole object once more.
  const { "kubectl.kubernetes.io/last-applied-configuration": _, ...notes } = annotations ?? {};
  return {
    name,
    namespace,
    uid,
    ...(generation !== undefined && { generation }),
    ...(creationTimestamp !== undefined && { creationTimestamp }),
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    labels: labels ?? {},
    annotations: notes,
  };
}

/** What is needed of an identity that is not served: its author chooses how many there are, and how large. */
export function ofRefused({
  labels: _,
  annotations,
  ...metadata
}: SeenIdentity["metadata"]): SeenIdentity["metadata"] {
  const force = annotations?.[requestAnnotations.forceDelete];
  return {
    ...metadata,
    labels: {},
    annotations: force === "true" ? { [requestAnnotations.forceDelete]: force } : {},
  };
}

type Raw = { readonly metadata: SeenIdentity["metadata"] } & Readonly<Record<string, unknown>>;

/** Fields that this version does not know are passed over: the CRD may be of a newer one. */
function parse(raw: Raw, excess: string | undefined): MeshCertificate | StoreError {
  if (excess !== undefined) return refused(raw, excess);
  const parsed = meshCertificate.safeParse(raw, { reportInput: true });
  if (parsed.success) return parsed.data;
  const known = structuredClone(raw);
  for (const issue of parsed.error.issues) {
    if (issue.code === "unrecognized_keys") for (const key of issue.keys) remove(known, [...issue.path, key]);
  }
  const again = meshCertificate.safeParse(known, { reportInput: true });
  return again.success
    ? again.data
    : invalid(
        raw,
        explain(again.error.issues, meshCertificate, () => ""),
      );
}

function remove(object: unknown, path: readonly PropertyKey[]): void {
  const [key = "", ...rest] = path;
  if (typeof object !== "object" || object === null) return;
  if (rest.length > 0) remove(Reflect.get(object, key), rest);
  else Reflect.deleteProperty(object, key);
}

function invalid(raw: Raw, problems: readonly { path: string; message: string }[]): StoreError {
  const lines = problems.slice(0, maxProblems).map(({ path, message }) => `${path}: ${message}`);
  const more = problems.length > lines.length ? ["and more"] : [];
  return refused(raw, `does not fit this version's schema: ${[...lines, ...more].join("; ")}`);
}

function refused({ metadata }: Raw, problem: string): StoreError {
  return new StoreError("ATTACHE_DOCUMENT_INVALID", `the MeshCertificate ${keyOf({ metadata })} ${problem}`, {
    remedy: "Correct it, or bring the CRD and attaché to the same version.",
  });
}
