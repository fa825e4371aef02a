import {
  apiVersion,
  type IdentityKey,
  keyOf,
  kind,
  meshCertificate,
  meshOf,
  sourceOf,
} from "../api/mesh-certificate.ts";
import { servedByOf, type Status } from "../api/status.ts";
import type { AllowRule } from "../config/allow-rule.ts";
import { allowOf, NotAllowedError } from "../controller/allow.ts";
import { parseSpiffeIdPattern } from "../credentials/spiffe-id.ts";
import type { ApiObject } from "../kube/object.ts";
import { definitions, isBuiltIn } from "../registry/registry.ts";
import { targetNames } from "../render/names.ts";

/** What a release of the chart leaves attaché. */
export interface NextRelease {
  /** Where it may act; `undefined`: everywhere. */
  readonly namespaces: readonly string[] | undefined;
  /** The MeshCertificates of the release, also those that it retires. */
  readonly identities: readonly IdentityKey[];
  readonly meshes: readonly string[];
  /** For all others, as in the settings. */
  readonly allow: readonly AllowRule[] | undefined;
}

/** Of Helm. */
export interface Release {
  readonly name: string;
  readonly namespace: string;
}

/** Before the next release. */
export interface ReleaseChange {
  readonly installation: string;
  readonly release: Release;
  readonly next: NextRelease;
  /** Whether attaché is uninstalled. */
  readonly isEnd: boolean;
}

/** A MeshCertificate, as far as it matters here. */
export type Held = ApiObject & {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Partial<Status>;
};

/** Whether Helm has created an object with a release, by the marks that it leaves. */
export function isOfRelease({ metadata: { annotations = {} } }: Held, { name, namespace }: Release): boolean {
  return (
    annotations["meta.helm.sh/release-name"] === name &&
    annotations["meta.helm.sh/release-namespace"] === namespace
  );
}

/**
 * Why attaché may not renew an identity any more after a change; `undefined` if it may, or if another installation serves
 * it: one in another namespace may have the same name.
 */
export function lossOf(
  held: Held,
  { installation, release, next, isEnd }: ReleaseChange,
): string | undefined {
  const { namespace = "", name } = held.metadata;
  const isOwn = isOfRelease(held, release);
  if (!isOwn && held.status?.servedBy !== servedByOf(release.namespace, installation)) return undefined;
  if (isEnd) return "attaché is uninstalled";
  if (next.namespaces?.includes(namespace) === false) return `the namespace ${namespace} is no longer named`;
  if (isOwn)
    return next.identities.includes(keyOf({ metadata: { namespace, name } }))
      ? undefined
      : "it is no longer among `identities`";
  return lossOfOthers(held, namespace, release.namespace, next);
}

/** Of an identity that a user has made. */
function lossOfOthers({ metadata, spec }: Held, namespace: string, home: string, next: NextRelease) {
  const parsed = meshCertificate.safeParse({
    ...{ apiVersion, kind, spec },
    metadata: { name: metadata.name, namespace },
  });
  // One that cannot be read is not renewed now either.
  if (!parsed.success) return undefined;
  const mesh = meshOf(parsed.data);
  if (!next.meshes.includes(mesh)) return `the mesh "${mesh}" is no longer enabled`;
  const source = sourceOf(parsed.data);
  // What a plug-in would ask its mesh for, only the plug-in knows.
  if (!isBuiltIn(source.kind)) return undefined;
  const { identity, expected } = definitions[source.kind] as {
    readonly identity: { parse(wanted: unknown): unknown };
    readonly expected: (wanted: unknown, owner: { readonly namespace: string }) => string;
  };
  const id = parseSpiffeIdPattern(expected(identity.parse(source.identity), { namespace }));
  try {
    const { tlsContext } = targetNames(parsed.data);
    allowOf(next.allow, home)({ namespace, mesh, expected: id, tlsContext });
    return undefined;
  } catch (error) {
    if (!(error instanceof NotAllowedError)) throw error;
    return "no rule of `allow` grants it any more";
  }
}
