/** The metrics page of an ingress pod, reduced. Times are in seconds since 1970, as in Envoy's metrics. */
export interface MetricsPage {
  /** The clusters that were looked for and exist. */
  readonly clusters: ReadonlyMap<string, ClusterOnPage>;
  /** Whether any of it is Envoy's. */
  readonly hasEnvoy: boolean;
  /** How long the last reconfiguration of Emissary took, in milliseconds. */
  readonly reconfigurationMs?: number;
  /** How often Envoy has taken clusters from Emissary. */
  readonly updates?: number;
}

interface ClusterOnPage {
  /** When its client certificates end; empty: it presents none. */
  readonly leaves: readonly number[];
  /** When the first roots end of the bundles by which it verifies. */
  readonly roots: readonly number[];
}

/** Longer lines are ignored: none that counts is as long. */
const maxLineBytes = 4_096;

const lineEnd = 0x0a;

/** Reads the page as a stream, and keeps only the clusters that are looked for. */
export class MetricsPageReader {
  readonly #wanted: ReadonlySet<string>;
  readonly #clusters = new Map<string, { leaves: number[]; roots: number[] }>();
  #pending: Buffer = Buffer.alloc(0);
  #isSkipping = false;
  #hasEnvoy = false;
  #reconfigurationMs: number | undefined;
  #updates: number | undefined;

  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted;
  }

  take(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(lineEnd); end >= 0; end = chunk.indexOf(lineEnd, start)) {
      if (start === 0 && (this.#pending.length > 0 || this.#isSkipping))
        this.#complete(chunk.subarray(0, end));
      else this.#line(chunk, start, end);
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  /** The page; ignores a last line without an end. */
  end(): MetricsPage {
    const [reconfigurationMs, updates] = [this.#reconfigurationMs, this.#updates];
    return {
      clusters: this.#clusters,
      hasEnvoy: this.#hasEnvoy,
      ...(reconfigurationMs !== undefined && { reconfigurationMs }),
      ...(updates !== undefined && { updates }),
    };
  }

  #complete(rest: Buffer): void {
    if (!this.#isSkipping) {
      const line = Buffer.concat([this.#pending, rest]);
      this.#line(line, 0, line.length);
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

  #line(bytes: Buffer, start: number, end: number): void {
    // A page has some 200,000 lines, of which about a thousand are parsed.
    const family = families.find(({ prefix }) => startsWith(bytes, start, end, prefix));
    if (family === undefined) return;
    this.#hasEnvoy ||= family.kind !== "reconfiguration";
    if (family.kind === "envoy" || end - start > maxLineBytes) return;
    const sample = sampleIn(bytes.toString("latin1", start, end));
    if (sample !== undefined) this.#sample(family.kind, sample);
  }

  #sample(kind: Exclude<Kind, "envoy">, { labels, value }: Sample): void {
    switch (kind) {
      case "reconfiguration":
        this.#reconfigurationMs = value * 1_000;
        break;
      case "updates":
        this.#updates = value;
        break;
      case "membership":
        this.#cluster(labels);
        break;
      case "certificate":
        this.#certificate(labels, value);
        break;
      default:
        kind satisfies never;
    }
  }

  #certificate(labels: Labels, value: number): void {
    const name = labels["envoy_tls_certificate"] ?? "";
    const cluster = this.#cluster(labels);
    if (name.startsWith("unnamed_ca_cert_")) cluster?.roots.push(value);
    else if (name.startsWith("unnamed_cert_")) cluster?.leaves.push(value);
  }

  #cluster({ envoy_cluster_name: name = "" }: Labels): { leaves: number[]; roots: number[] } | undefined {
    if (!this.#wanted.has(name)) return undefined;
    const cluster = this.#clusters.get(name) ?? { leaves: [], roots: [] };
    this.#clusters.set(name, cluster);
    return cluster;
  }
}

type Kind = "certificate" | "membership" | "updates" | "reconfiguration" | "envoy";

/** The first that fits. */
const families = (
  [
    ["certificate", "envoy_cluster_ssl_certificate_expiration_unix_time_seconds{"],
    ["membership", "envoy_cluster_membership_total{"],
    ["updates", "envoy_cluster_manager_cds_update_success"],
    ["reconfiguration", "ambassador_reconfiguration_time_seconds"],
    ["envoy", "envoy_"],
  ] as const
).map(([kind, prefix]) => ({ kind, prefix: Buffer.from(prefix) }));

function startsWith(bytes: Buffer, start: number, end: number, prefix: Buffer): boolean {
  const last = start + prefix.length - 1;
  // Most lines differ at the last byte already.
  if (last >= end || bytes[last] !== prefix.at(-1)) return false;
  return bytes.compare(prefix, 0, prefix.length, start, last + 1) === 0;
}

type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** `name{label="value",…} 1.5`, with a timestamp or without. */
const sampleForm = /^\w+(?:\{([^}]*)\})? ([-+.\dEe]+)(?: \d+)?\r?$/;
/** From the beginning of a word on: elsewhere it would be tried at each character of a long one. */
const labelForm = /\b(\w+)="([^"\\]*)"/g;

function sampleIn(line: string): Sample | undefined {
  const [, labels = "", number] = sampleForm.exec(line) ?? [];
  const value = Number(number);
  if (number === undefined || !Number.isFinite(value)) return undefined;
  const pairs = labels.matchAll(labelForm).map(([, name = "", text = ""]) => [name, text] as const);
  return { labels: Object.fromEntries(pairs), value };
}
