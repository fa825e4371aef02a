/**
 * What Emissary 4.1.0 makes of its objects, as far as upstream TLS is concerned: pure. Each rule names the
 * function of `python/ambassador/src/ambassador` that it imitates; all were compared with what that compiler
 * makes of the same objects. It shares no code with `src/emissary/`, which is tested against it.
 *
 * Not imitated: all that has to do with the downstream side (hostnames, weights, filters) but for the pairs of
 * Hosts, resolvers (a service must be an address), and `AMBASSADOR_FORCE_SECRET_VALIDATION`.
 */
import { createHash } from "node:crypto";
import { parseAllDocuments } from "yaml";
import type { Followed } from "./follow.ts";

/** What one pod sees, by plural. */
export type World = ReadonlyMap<string, readonly Followed[]>;

/**
 * An upstream as Envoy gets it. Files have their text under a name made of its hash, so that other text is
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

export interface UpstreamTls extends Partial<Pick<ContextSpec, (typeof passedOn)[number]>> {
  /** None: encrypted, and anonymous. */
  readonly pair?: Pair;
  /** None: any certificate is accepted. */
  readonly ca?: File;
  readonly crl?: File;
}

export interface Pair {
  readonly certificate: File;
  readonly key: File;
}

/** Fields of a TLSContext that reach Envoy as they are (`V3TLSContext.add_context`). */
const passedOn = [
  ...(["alpn_protocols", "sni", "cipher_suites", "ecdh_curves"] as const),
  ...(["min_tls_version", "max_tls_version", "cert_required"] as const),
] as const;

export interface File {
  readonly name: string;
  readonly text: string;
}

/** An object that names an upstream, and the cluster that was made for it. */
export interface Origin {
  readonly plural: string;
  /** Those of one group share their routes, and lose their clusters together. */
  readonly group: string;
  /** `/`, or where the path of its requests begins. */
  readonly prefix: string;
  readonly rewrite: string;
  readonly timeoutMs: number;
  readonly cluster: UpstreamCluster;
}

/** By `PLURAL/NAMESPACE/NAME`. */
export type Compiled = ReadonlyMap<string, Origin>;

/** In this order; the first that needs a cluster makes it, whatever context the others name (`IR.add_cluster`). */
const origins = ["authservices", "ratelimitservices", "mappings", "tcpmappings"];

/**
 * @param cache of the configuration before, for an incremental reconfigure: Mappings and TCPMappings that were
 *   made there stay as they are, Secrets and contexts unread, but for those of `changed` and who shares a
 *   group or a cluster with them (`IR.check_deltas`, `Cache.invalidate`). A Mapping in an annotation stays,
 *   too, even if it has changed: its delta is that of the Service. AuthServices and RateLimitServices are not
 *   cached, and always made again (`V3Cluster.generate`). Without `cache` everything is made again.
 */
export function compile(
  world: World,
  ambassadorId: string,
  cache: Compiled = new Map(),
  changed: ReadonlySet<string> = new Set(),
): Compiled {
  const view = viewOf(world, ambassadorId);
  const contexts = contextsOf(view);
  const all = origins.flatMap((plural) =>
    view.objects(plural).map((object) => ({ plural, object, key: keyOf(plural, object) })),
  );
  // Group by group (`MappingFactory.finalize`).
  const objects = [...Map.groupBy(all, ({ plural, object }) => groupOf(plural, object)).values()].flat();
  const cached = [...cache].filter(([, { plural }]) => plural === "mappings" || plural === "tcpmappings");
  const groups = new Set([
    ...objects.flatMap(({ plural, object, key }) => (changed.has(key) ? groupOf(plural, object) : [])),
    ...cached.flatMap(([key, { group }]) => (changed.has(key) ? group : [])),
  ]);
  const stale = new Set(cached.flatMap(([, { group, cluster }]) => (groups.has(group) ? cluster.name : [])));
  const kept = new Map(
    cached.filter(([, { group, cluster }]) => !groups.has(group) && !stale.has(cluster.name)),
  );
  const clusters = new Map([...kept.values()].map(({ cluster }) => [cluster.name, cluster]));
  const compiled = new Map<string, Origin>();
  for (const { plural, object, key } of objects) {
    const before = kept.get(key);
    if (before !== undefined) {
      compiled.set(key, before);
      continue;
    }
    const spec = (object.spec ?? {}) as OriginSpec;
    const fresh = clusterOf(plural, object, contexts);
    if (fresh === undefined) continue;
    const cluster = clusters.get(fresh.name) ?? fresh;
    clusters.set(cluster.name, cluster);
    const { prefix = "/", rewrite = "/", timeout_ms: timeoutMs = 3_000 } = spec;
    compiled.set(key, { plural, group: groupOf(plural, object), prefix, rewrite, timeoutMs, cluster });
  }
  return compiled;
}

/**
 * What Hosts have Envoy present downstream. Emissary drops a Host whose Secret is missing, or which has a
 * context `NAME-context` of another Secret beside it (`IRHost.save_context`).
 */
export function pairsOfHosts(world: World, ambassadorId: string): Pair[] {
  const view = viewOf(world, ambassadorId);
  const contexts = contextsOf(view);
  return view.objects("hosts").flatMap((host) => {
    const own = view.secretOfHost(host);
    const pair = own && pairIn(own);
    const { tlsContext } = host.spec as HostSpec;
    const { pair: used } = contexts.get(tlsContext?.name ?? `${host.metadata.name}-context`) ?? {};
    return pair !== undefined && used?.certificate.text === pair.certificate.text ? [pair] : [];
  });
}

export function keyOf(plural: string, { metadata }: Followed): string {
  return `${plural}/${String(metadata["namespace"])}/${metadata.name}`;
}

/** (`IRHTTPMapping._group_id`), without headers and methods. */
function groupOf(plural: string, object: Followed): string {
  const { prefix = "/", hostname = "", port = 0, host = "" } = (object.spec ?? {}) as OriginSpec;
  return [plural, prefix, hostname, port, host].join(" ");
}

/** The name has the service as it is written, scheme included (`IRCluster.__init__`). */
function clusterOf(
  plural: string,
  { metadata, spec }: Followed,
  contexts: ReadonlyMap<string, UpstreamTls>,
): UpstreamCluster | undefined {
  const { service: named, auth_service: written = named, tls, ...more } = (spec ?? {}) as OriginSpec;
  if (written === undefined) return undefined;
  const [, scheme = "", service = ""] = /^(https?:\/\/)?(.*)$/i.exec(written) ?? [];
  // Of one that is not there the log says `Originate-TLS context X is not defined`, and nothing else does.
  const context = typeof tls === "string" ? contexts.get(tls) : tls === true ? {} : undefined;
  const isTls = scheme.toLowerCase() === "https://" || context !== undefined;
  const url = new URL(`tcp://${service}`);
  const name = [
    "cluster",
    ...(plural === "authservices" ? ["extauth"] : []),
    written,
    ...(isTls ? ["otls"] : []),
    ...(isTls && scheme === "" && typeof tls === "string" ? [tls] : []),
    ...(isTls && more.host_rewrite !== undefined ? [`hr-${more.host_rewrite}`] : []),
    metadata["namespace"],
  ].join("_");
  return {
    name: name.replace(/\W/g, "_"),
    statsName: more.stats_name ?? service.replace(/\W/g, "_"),
    host: url.hostname,
    port: Number(url.port || (isTls ? 443 : 80)),
    connectTimeoutMs: more.connect_timeout_ms ?? 3_000,
    tls: isTls ? (context ?? {}) : undefined,
  };
}

/** The objects of one `ambassador_id`, in Emissary's order, and its Secrets. */
interface View {
  objects(plural: string): readonly Followed[];
  secret(name: string, namespace: string): Followed | undefined;
  secretOfHost(host: Followed): Followed | undefined;
}

function viewOf(world: World, ambassadorId: string): View {
  const annotated = [...(world.get("services") ?? []), ...(world.get("ingresses") ?? [])].flatMap(
    resourcesIn,
  );
  const all = new Map<string, readonly Followed[]>();
  const saved = new Map<string, Followed>();

  function objects(plural: string): readonly Followed[] {
    const known = all.get(plural);
    if (known !== undefined) return known;
    const own = annotated.flatMap((one) => (one.plural === plural ? one.object : []));
    const found = [...(world.get(plural) ?? []), ...own]
      .filter(({ spec }) => idsOf(spec as Spec).includes(ambassadorId))
      .toSorted((one, other) => (rankOf(one) < rankOf(other) ? -1 : 1));
    all.set(plural, found);
    return found;
  }

  /** It looks for `NAME.NAMESPACE`, and keeps what it found as `NAME` (`IR.resolve_secret`). */
  function secret(name: string, namespace: string): Followed | undefined {
    const known = saved.get(`${name}.${namespace}`);
    if (known !== undefined) return known;
    const found = world
      .get("secrets")
      ?.find(({ metadata }) => metadata.name === name && metadata["namespace"] === namespace);
    if (found !== undefined && fileIn(found, [...certificateKeys, ...crlKeys]) !== undefined) {
      saved.set(name, found);
      return found;
    }
    return undefined;
  }

  return {
    objects,
    secret,
    secretOfHost({ metadata, spec }) {
      const { name, namespace = metadata["namespace"] } = (spec as HostSpec | undefined)?.tlsSecret ?? {};
      return name === undefined ? undefined : secret(name, String(namespace));
    },
  };
}

/** By name, which is global: of two the first counts (`IR.save_tls_context`). Hosts come before TLSContexts. */
function contextsOf(view: View): ReadonlyMap<string, UpstreamTls> {
  const contexts = new Map<string, UpstreamTls>();
  const hosts = view.objects("hosts").map((host) => ({ host, secret: view.secretOfHost(host) }));
  const named = new Set<string>();
  for (const { metadata, spec } of view.objects("tlscontexts")) {
    if (named.has(metadata.name)) continue;
    named.add(metadata.name);
    const context = contextFrom(spec as ContextSpec, String(metadata["namespace"]), view);
    if (context !== undefined) contexts.set(metadata.name, context);
  }
  for (const { host, secret } of hosts) {
    const name = `${host.metadata.name}-context`;
    if (secret === undefined || named.has(name)) continue;
    const { tlsSecret: { name: own = "", namespace: from } = {} } = host.spec as HostSpec;
    const spec = { secret: from === undefined ? own : `${own}.${from}` };
    const context = contextFrom(spec, String(host.metadata["namespace"]), view);
    if (context !== undefined) contexts.set(name, context);
  }
  return contexts;
}

/** `undefined`: Emissary drops it (`IRTLSContext.resolve`). */
function contextFrom(spec: ContextSpec, namespace: string, view: View): UpstreamTls | undefined {
  function secret(written: string | undefined): Followed | undefined {
    if (written === undefined) return undefined;
    const dot = spec.secret_namespacing === false ? -1 : written.lastIndexOf(".");
    return dot < 0
      ? view.secret(written, namespace)
      : view.secret(written.slice(0, dot), written.slice(dot + 1));
  }
  const own = secret(spec.secret);
  const pair = own && pairIn(own);
  if (own === undefined || pair === undefined) return undefined;
  const crl = fileIn(secret(spec.crl_secret), crlKeys);
  // The name of the file is made of the pair: Envoy does not notice other roots (`SecretHandler.cache_internal`).
  const root = fileIn(own, ["root-cert.pem"]);
  const ca =
    spec.ca_secret === undefined
      ? root && { ...root, name: `${pair.certificate.name}.root.crt` }
      : fileIn(secret(spec.ca_secret), certificateKeys);
  if (ca === undefined && spec.ca_secret !== undefined) return undefined;
  if (crl === undefined && spec.crl_secret !== undefined) return undefined;
  const passed = passedOn.flatMap((field) => (spec[field] === undefined ? [] : [[field, spec[field]]]));
  return { pair, ...(ca && { ca }), ...(crl && { crl }), ...(Object.fromEntries(passed) as object) };
}

const certificateKeys = ["tls.crt", "cert-chain.pem"];
const crlKeys = ["user.key", "crl.pem"];

function pairIn(secret: Followed): Pair | undefined {
  const certificate = fileIn(secret, certificateKeys);
  const key = fileIn(secret, ["tls.key", "key.pem"]);
  return certificate && key && { certificate, key };
}

function fileIn(secret: Followed | undefined, keys: readonly string[]): File | undefined {
  const [value] = keys.flatMap((key) => secret?.data?.[key] ?? []);
  if (value === undefined || value === "") return undefined;
  const text = Buffer.from(value, "base64").toString();
  return { name: `${createHash("sha1").update(text).digest("hex")}.pem`, text };
}

/**
 * Of a Service or an Ingress (`ParseAnnotationResources` in `pkg/snapshot/v1/annotations.go`): in the form of
 * objects, or folded, with name and fields beside the kind.
 */
function resourcesIn(parent: Followed): { readonly plural: string; readonly object: Followed }[] {
  const annotations = parent.metadata["annotations"] as Readonly<Record<string, string>> | undefined;
  const text = annotations?.["getambassador.io/config"];
  if (text === undefined) return [];
  return parseAllDocuments(text).flatMap((document) => {
    const found = document.toJS() as Folded | null;
    if (found === null) return [];
    const { kind, name = "", namespace = parent.metadata["namespace"], metadata, spec, ...fields } = found;
    const own = { name, namespace, uid: "", resourceVersion: "", ...metadata, parent: rankOf(parent) };
    return { plural: `${kind.toLowerCase()}s`, object: { metadata: own, spec: spec ?? fields } };
  });
}

interface Folded {
  readonly kind: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly metadata?: object;
  readonly spec?: object;
}

/** By `NAME.NAMESPACE`, of the Service for what is in its annotation (`ResourceFetcher.sorted`). */
function rankOf({ metadata }: Followed): string {
  const { parent } = metadata;
  return typeof parent === "string" ? parent : `${metadata.name}.${String(metadata["namespace"])}`;
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
  readonly hostname?: string;
  readonly host?: string;
  readonly port?: number;
  readonly host_rewrite?: string;
  readonly rewrite?: string;
  readonly service?: string;
  readonly auth_service?: string;
  readonly tls?: string | boolean;
  readonly stats_name?: string;
  readonly timeout_ms?: number;
  readonly connect_timeout_ms?: number;
}

interface HostSpec extends Spec {
  readonly tlsSecret?: { readonly name?: string; readonly namespace?: string };
  readonly tlsContext?: { readonly name?: string };
}

interface ContextSpec extends Spec {
  readonly secret?: string;
  readonly ca_secret?: string;
  readonly crl_secret?: string;
  readonly secret_namespacing?: boolean;
  readonly alpn_protocols?: string;
  readonly sni?: string;
  readonly cert_required?: boolean;
  readonly min_tls_version?: string;
  readonly max_tls_version?: string;
  readonly cipher_suites?: readonly string[];
  readonly ecdh_curves?: readonly string[];
}
