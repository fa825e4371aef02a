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
import { status as statusSchema } from "../../api/status.ts";
import type { ContextName } from "../../emissary/consumer.ts";
import { targetNames } from "../../render/names.ts";
import { explain } from "../../text/yaml/explain.ts";
import { StoreError } from "../errors.ts";
import type { StoredObject } from "./api-object.ts";

/** A MeshCertificate as it was at one resourceVersion. */
export interface SeenIdentity {
  readonly metadata: MeshCertificate["metadata"] & { readonly uid: string };
  readonly resourceVersion: string;
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
 * @param written the status that was just written: kept in place of a copy of it.
 */
export function seenIdentity(object: StoredObject, written?: Status): SeenIdentity {
  const { resourceVersion, finalizers = [] } = object.metadata;
  const metadata = keptOf(object);
  const shown = statusSchema.safeParse(object.status).data;
  const status = isDeepStrictEqual(shown, written) ? written : shown;
  const parsed = parse({ apiVersion, kind, metadata, spec: object.spec });
  // What is kept of thousands is kept once.
  const content = parsed instanceof StoreError ? parsed : { ...parsed, metadata, ...(status && { status }) };
  const addressee = addresseeOf(object.spec);
  return { metadata, resourceVersion, finalizers, content, context: contextOf(content), addressee, status };
}

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

type Raw = { readonly metadata: SeenIdentity["metadata"] } & Readonly<Record<string, unknown>>;

/** Fields that this version does not know are passed over: the CRD may be of a newer one. */
function parse(raw: Raw): MeshCertificate | StoreError {
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

function invalid({ metadata }: Raw, problems: readonly { path: string; message: string }[]): StoreError {
  const lines = problems.map(({ path, message }) => `${path}: ${message}`);
  return new StoreError(
    "ATTACHE_DOCUMENT_INVALID",
    `the MeshCertificate ${keyOf({ metadata })} does not fit this version's schema: ${lines.join("; ")}`,
    { remedy: "Correct it, or bring the CRD and attaché to the same version." },
  );
}
