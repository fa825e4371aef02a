/**
 * What Emissary 4.1 makes of its objects, as far as upstream TLS is concerned: pure. It imitates what was
 * seen and what stands in its source (`IRCluster`, `IRTLSContext`, `IR.check_deltas`), and shares no code
 * with `src/emissary/`, which is tested against it.
 *
 * Not imitated: all that has to do with the downstream side (Hosts, hostnames, weights, filters), resolvers
 * (a service must be an address), and `AMBASSADOR_FORCE_SECRET_VALIDATION`.
 */
import { createHash } from "node:crypto";
import type { Followed } from "./follow.ts";

/** What one pod sees, by plural. */
export type World = ReadonlyMap<string, readonly Followed[]>;

/**
 * An upstream as Envoy is told it. Files have their text under a name made of its hash, so that other text is
 * another cluster.
 */
export interface UpstreamCluster {
  readonly name: string;
  readonly statsName: string;
  readonly host: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
  readonly tls: UpstreamTls | undefined;
}

export interface UpstreamTls {
  /** None: encrypted, and anonymous. */
  readonly pair?: { readonly certificate: File; readonly key: File };
  /** None: whoever answers is believed. */
  readonly ca?: File;
  readonly alpn?: string;
  readonly sni?: string;
  readonly minimum?: string;
}

export interface File {
  readonly name: string;
  readonly text: string;
}

/** An object that names an upstream, and the cluster that was made for it. */
export interface Origin {
  readonly plural: string;
  /** `/`, or where the path of its requests begins. */
  readonly prefix: string;
  readonly rewrite: string;
  readonly timeoutMs: number;
  readonly cluster: UpstreamCluster;
}

/** By `PLURAL/NAMESPACE/NAME`. */
export type Compiled = ReadonlyMap<string, Origin>;

/** In this order; the first that needs a cluster makes it, whatever context the others name. */
const origins = ["authservices", "ratelimitservices", "mappings", "tcpmappings"];

/**
 * @param cache of the configuration before, for an incremental reconfigure: what was made there stays as it
 *   is, Secrets and contexts unread, but for those of `changed` and who shares their clusters. Without it
 *   everything is made anew.
 */
export function compile(
  world: World,
  ambassadorId: string,
  cache: Compiled = new Map(),
  changed: ReadonlySet<string> = new Set(),
): Compiled {
  const stale = new Set([...changed].flatMap((key) => cache.get(key)?.cluster.name ?? []));
  const kept = new Map(
    [...cache].filter(([key, { cluster }]) => !changed.has(key) && !stale.has(cluster.name)),
  );
  const clusters = new Map([...kept.values()].map(({ cluster }) => [cluster.name, cluster]));
  const compiled = new Map<string, Origin>();
  for (const plural of origins) {
    for (const object of (world.get(plural) ?? []).toSorted(byPlace)) {
      const spec = (object.spec ?? {}) as OriginSpec;
      if (!idsOf(spec).includes(ambassadorId)) continue;
      const key = keyOf(plural, object);
      const before = kept.get(key);
      if (before !== undefined) {
        compiled.set(key, before);
        continue;
      }
      const fresh = clusterOf(object, spec, world, ambassadorId);
      if (fresh === undefined) continue;
      const cluster = clusters.get(fresh.name) ?? fresh;
      clusters.set(cluster.name, cluster);
      const { prefix = "/", rewrite = "/", timeout_ms: timeoutMs = 3_000 } = spec;
      compiled.set(key, { plural, prefix, rewrite, timeoutMs, cluster });
    }
  }
  return compiled;
}

export function keyOf(plural: string, { metadata }: Followed): string {
  return `${plural}/${placeOf(metadata)}`;
}

function clusterOf(
  { metadata }: Followed,
  spec: OriginSpec,
  world: World,
  ambassadorId: string,
): UpstreamCluster | undefined {
  const written = spec.service ?? spec.auth_service;
  if (written === undefined) return undefined;
  const [, scheme = "", service = ""] = /^(https?:\/\/)?(.*)$/i.exec(written) ?? [];
  const context = contextNamed(spec.tls, world, ambassadorId);
  const isHttps = scheme.toLowerCase() === "https://";
  const isTls = isHttps || context !== undefined;
  const url = new URL(`tcp://${service}`);
  const named = isTls && scheme === "" && typeof spec.tls === "string" ? [spec.tls] : [];
  const name = ["cluster", written, ...(isTls ? ["otls"] : []), ...named, metadata["namespace"]].join("_");
  return {
    name: name.replace(/\W/g, "_"),
    statsName: spec.stats_name ?? service.replace(/\W/g, "_"),
    host: url.hostname,
    port: Number(url.port || (isTls ? 443 : 80)),
    connectTimeoutMs: spec.connect_timeout_ms ?? 3_000,
    tls: isTls ? (context ?? {}) : undefined,
  };
}

/** `undefined`: Emissary drops it, and says only in its log that `Originate-TLS context X is not defined`. */
function contextNamed(
  tls: string | boolean | undefined,
  world: World,
  ambassadorId: string,
): UpstreamTls | undefined {
  if (tls === true) return {};
  // Names are global: of two of one name the first wins.
  const found = (world.get("tlscontexts") ?? [])
    .toSorted(byPlace)
    .find(({ metadata, spec }) => metadata.name === tls && idsOf(spec as Spec).includes(ambassadorId));
  const spec = found?.spec as ContextSpec | undefined;
  if (found === undefined || spec?.secret === undefined) return undefined;

  const read = (secret: string, ...keys: readonly string[]) =>
    fileIn(secretNamed(secret, found, world), keys);
  const certificate = read(spec.secret, ...certificateKeys);
  const key = read(spec.secret, "tls.key", "key.pem");
  if (certificate === undefined || key === undefined) return undefined;
  const ca =
    spec.ca_secret === undefined
      ? read(spec.secret, "root-cert.pem")
      : read(spec.ca_secret, ...certificateKeys);
  if (ca === undefined && spec.ca_secret !== undefined) return undefined;
  return {
    pair: { certificate, key },
    ...(ca && { ca }),
    ...(spec.alpn_protocols !== undefined && { alpn: spec.alpn_protocols }),
    ...(spec.sni !== undefined && { sni: spec.sni }),
    ...(spec.min_tls_version !== undefined && { minimum: spec.min_tls_version }),
  };
}

const certificateKeys = ["tls.crt", "cert-chain.pem"];

function secretNamed(written: string, context: Followed, world: World): Followed | undefined {
  const { secret_namespacing: isNamespaced = true } = context.spec as ContextSpec;
  const dot = isNamespaced ? written.lastIndexOf(".") : -1;
  const place =
    dot < 0
      ? `${String(context.metadata["namespace"])}/${written}`
      : `${written.slice(dot + 1)}/${written.slice(0, dot)}`;
  return world.get("secrets")?.find(({ metadata }) => placeOf(metadata) === place);
}

function fileIn(secret: Followed | undefined, keys: readonly string[]): File | undefined {
  const [value] = keys.flatMap((key) => secret?.data?.[key] ?? []);
  if (value === undefined || value === "") return undefined;
  const text = Buffer.from(value, "base64").toString();
  return { name: `${createHash("sha1").update(text).digest("hex")}.pem`, text };
}

function byPlace(one: Followed, other: Followed): number {
  return placeOf(one.metadata) < placeOf(other.metadata) ? -1 : 1;
}

function placeOf({ name, ...rest }: Followed["metadata"]): string {
  return `${String(rest["namespace"])}/${name}`;
}

function idsOf({ ambassador_id: ids = [] }: Spec = {}): readonly string[] {
  const list = typeof ids === "string" ? [ids] : ids;
  return list.length === 0 ? ["default"] : list;
}

interface Spec {
  readonly ambassador_id?: string | readonly string[];
}

interface OriginSpec extends Spec {
  readonly prefix?: string;
  readonly rewrite?: string;
  readonly service?: string;
  readonly auth_service?: string;
  readonly tls?: string | boolean;
  readonly stats_name?: string;
  readonly timeout_ms?: number;
  readonly connect_timeout_ms?: number;
}

interface ContextSpec extends Spec {
  readonly secret?: string;
  readonly ca_secret?: string;
  readonly secret_namespacing?: boolean;
  readonly alpn_protocols?: string;
  readonly sni?: string;
  readonly min_tls_version?: string;
}
