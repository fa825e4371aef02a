/** The metrics page of an ingress pod, reduced. Times are in seconds since 1970, as in Envoy's metrics. */
export interface MetricsPage {
  /** The clusters that were looked for and exist. */
  readonly clusters: ReadonlyMap<string, ClusterOnPage>;
  /** Whether any of it is Envoy's. */
  readonly hasEnvoy: boolean;
  /** Whether Envoy reports certificates of any cluster or listener: before 1.33 it reports none. */
  readonly hasCertificates: boolean;
  /** How long the last reconfiguration of Emissary took, in milliseconds. */
  readonly reconfigurationMs?: number;
  /** How often Envoy has taken clusters from Emissary. */
  readonly updates?: number;
  /** For how long Envoy has run, in milliseconds; it lags behind by 5 s. */
  readonly uptimeMs?: number;
  /** Of Emissary, as `4.1.0`. */
  readonly version?: string;
  /** The length of the page. */
  readonly bytes: number;
}

interface ClusterOnPage {
  /** When its client certificates end; empty: it presents none. */
  readonly leaves: readonly number[];
  /** When the first roots end of the bundles by which it verifies. */
  readonly roots: readonly number[];
  /** Whether it speaks TLS, with a client certificate or without. */
  readonly hasTls: boolean;
}

/** Longer lines are ignored: none that counts is as long. */
const maxLineBytes = 4_096;

const lineEnd = 0x0a;

/**
 * Reads the page as a stream, and keeps only the clusters that are looked for. A page of 1,000 TLS clusters
 * has 250,000 lines, of which 4,000 are parsed. The series of a family follow one another: between two lines
 * of a family that does not count, nothing is read.
 */
export class MetricsPageReader {
  readonly #wanted: ReadonlySet<string>;
  readonly #clusters = new Map<string, { leaves: number[]; roots: number[]; hasTls: boolean }>();
  #pending: Buffer = Buffer.alloc(0);
  #isSkipping = false;
  #hasEnvoy = false;
  #hasCertificates = false;
  #reconfigurationMs: number | undefined;
  #updates: number | undefined;
  #uptimeMs: number | undefined;
  #version: string | undefined;
  #bytes = 0;

  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted;
  }

  take(chunk: Buffer): void {
    this.#bytes += chunk.length;
    const first = chunk.indexOf(lineEnd) + 1;
    if (first === 0) {
      this.#keep(chunk);
      return;
    }
    const isContinued = this.#pending.length > 0 || this.#isSkipping;
    if (isContinued) this.#complete(chunk.subarray(0, first));
    const last = chunk.lastIndexOf(lineEnd) + 1;
    this.#lines(chunk, isContinued ? first : 0, last);
    this.#keep(chunk.subarray(last));
  }

  /** Whether the page breaks off in a line. */
  get isCut(): boolean {
    return this.#pending.length > 0 || this.#isSkipping;
  }

  /** The page; ignores a last line without an end. */
  end(): MetricsPage {
    const [reconfigurationMs, updates, version] = [this.#reconfigurationMs, this.#updates, this.#version];
    const uptimeMs = this.#uptimeMs;
    return {
      clusters: this.#clusters,
      hasEnvoy: this.#hasEnvoy,
      hasCertificates: this.#hasCertificates,
      bytes: this.#bytes,
      ...(reconfigurationMs !== undefined && { reconfigurationMs }),
      ...(updates !== undefined && { updates }),
      ...(uptimeMs !== undefined && { uptimeMs }),
      ...(version !== undefined && { version }),
    };
  }

  #complete(rest: Buffer): void {
    if (!this.#isSkipping) {
      const line = Buffer.concat([this.#pending, rest]);
      this.#lines(line, 0, line.length);
    }
    this.#pending = Buffer.alloc(0);
    this.#isSkipping = false;
  }

  #keep(rest: Buffer): void {
    if (this.#isSkipping || rest.length === 0) return;
    this.#pending = Buffer.concat([this.#pending, rest]);
    if (this.#pending.length <= maxLineBytes) return;
    this.#pending = Buffer.alloc(0);
    this.#isSkipping = true;
  }

  /** Reads complete lines, by halves. */
  #lines(bytes: Buffer, start: number, end: number): void {
    if (start >= end) return;
    const firstEnd = bytes.indexOf(lineEnd, start) + 1;
    const first = familyAt(bytes, start, firstEnd);
    this.#hasEnvoy ||= first.startsWith("envoy_");
    const kind = kinds.get(first);
    if (firstEnd === end) {
      if (kind !== undefined) this.#line(kind, bytes, start, end);
      return;
    }
    const last = bytes.lastIndexOf(lineEnd, end - 2) + 1;
    if (kind === undefined && first !== comment && first === familyAt(bytes, last, end)) return;
    const middle = bytes.indexOf(lineEnd, start + Math.floor((end - start) / 2)) + 1;
    const half = middle < end ? middle : last;
    this.#lines(bytes, start, half);
    this.#lines(bytes, half, end);
  }

  #line(kind: Kind, bytes: Buffer, start: number, end: number): void {
    if (end - start > maxLineBytes) return;
    const sample = sampleIn(bytes.toString("latin1", start, end - 1));
    if (sample !== undefined) this.#sample(kind, sample);
  }

  #sample(kind: Kind, { labels, value }: Sample): void {
    switch (kind) {
      case "listener":
        this.#hasCertificates = true;
        break;
      case "reconfiguration":
        this.#reconfigurationMs = value * 1_000;
        break;
      case "updates":
        this.#updates = value;
        break;
      case "uptime":
        this.#uptimeMs = value * 1_000;
        break;
      case "information":
        this.#version = label(labels, "version");
        break;
      case "membership":
        this.#cluster(labels);
        break;
      case "handshakes": {
        const cluster = this.#cluster(labels);
        if (cluster !== undefined) cluster.hasTls = true;
        break;
      }
      case "certificate":
        this.#certificate(labels, value);
        break;
      default:
        kind satisfies never;
    }
  }

  #certificate(labels: string, value: number): void {
    this.#hasCertificates = true;
    const name = label(labels, "envoy_tls_certificate") ?? "";
    const cluster = this.#cluster(labels);
    if (cluster === undefined) return;
    cluster.hasTls = true;
    if (name.startsWith("unnamed_ca_cert_")) cluster.roots.push(value);
    else if (name.startsWith("unnamed_cert_")) cluster.leaves.push(value);
  }

  #cluster(labels: string): { leaves: number[]; roots: number[]; hasTls: boolean } | undefined {
    const name = label(labels, "envoy_cluster_name");
    if (name === undefined || !this.#wanted.has(name)) return undefined;
    const cluster = this.#clusters.get(name) ?? { leaves: [], roots: [], hasTls: false };
    this.#clusters.set(name, cluster);
    return cluster;
  }
}

type Kind =
  | "certificate"
  | "listener"
  | "membership"
  | "handshakes"
  | "updates"
  | "uptime"
  | "reconfiguration"
  | "information";

/** By the name of the metric. */
const kinds: ReadonlyMap<string, Kind> = new Map([
  ["envoy_cluster_ssl_certificate_expiration_unix_time_seconds", "certificate"],
  ["envoy_listener_ssl_certificate_expiration_unix_time_seconds", "listener"],
  ["envoy_cluster_membership_total", "membership"],
  ["envoy_cluster_ssl_handshake", "handshakes"],
  ["envoy_cluster_manager_cds_update_success", "updates"],
  ["envoy_server_uptime", "uptime"],
  ["ambassador_reconfiguration_time_seconds", "reconfiguration"],
  ["ambassador_diagnostics_info", "information"],
]);

/** Of any comment. */
const comment = "";

/** A longer name is none that counts. */
const maxNameBytes = 200;

/** What the series of one metric have in common, of those of a histogram too. */
function familyAt(bytes: Buffer, start: number, end: number): string {
  const line = bytes.toString("latin1", start, Math.min(end, start + maxNameBytes));
  const [name = comment] = /^\w+/.exec(line) ?? [];
  return name.replace(/_(?:bucket|sum|count)$/, "");
}

interface Sample {
  /** As on the page: `envoy_cluster_name="web",…` */
  readonly labels: string;
  readonly value: number;
}

/** `name{label="value",…} 1.5`, with a timestamp or without. */
const sampleForm = /^\w+(?:\{([^}]*)\})? ([-+.\dEe]+)(?: \d+)?\r?$/;

function sampleIn(line: string): Sample | undefined {
  const [, labels = "", number] = sampleForm.exec(line) ?? [];
  const value = Number(number);
  return number === undefined || !Number.isFinite(value) ? undefined : { labels, value };
}

/** A value with an escaped character is none that counts. */
function label(labels: string, name: string): string | undefined {
  const key = `,${name}="`;
  const all = `,${labels}`;
  const start = all.indexOf(key) + key.length;
  const value = all.slice(start, all.indexOf('"', start));
  return start < key.length || value.includes("\\") ? undefined : value;
}
