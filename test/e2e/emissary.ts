import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Access, Rest } from "../peers/kubernetes/rest.ts";
import { freePorts } from "../peers/ports.ts";
import type { EnvoyPeer } from "./envoy-process.ts";
import { type Pod, startPod } from "./pod.ts";

export interface EmissaryOptions {
  readonly access: Access;
  readonly admin: Rest;
  /** Where its Service is; it watches this one and `namespaces`. */
  readonly namespace: string;
  readonly namespaces?: readonly string[];
  readonly ambassadorId?: string;
  /** One by default. */
  readonly pods?: number;
  /** A second by default, as in Emissary. */
  readonly reconfigMaxDelayMs?: number;
  readonly envoy?: EnvoyPeer;
  /** The folder of `AMBASSADOR_ISTIO_SECRET_DIR`, while a sidecar writes there. */
  readonly istioFiles?: () => string | undefined;
}

/**
 * An Emissary-ingress whose pods, described in pod.ts, listen on addresses of their own in 127.0.0.0/8, all on the
 * same ports.
 */
export interface Emissary extends AsyncDisposable {
  readonly pods: readonly Pod[];
  /** For attaché's settings: `emissary: [settings]`. */
  readonly settings: Readonly<Record<"service" | "namespace" | "path", string>> & {
    readonly ambassadorId: readonly string[];
    readonly port: number;
  };
  /** Starts or ends pods, and tells the API server. */
  scale(pods: number): Promise<void>;
  /** Of a path behind the pod. */
  url(path: string, pod: Pod): string;
  /** Sends a request through the pod. */
  request(path: string, pod?: Pod): Promise<Response>;
  /**
   * What the pod's Envoy itself shows of each cluster, by `envoy_cluster_name`. One without TLS, or without a
   * client certificate, shows nothing.
   */
  served(pod?: Pod): Promise<ReadonlyMap<string, Shown>>;
  /** The pod's page of metrics. */
  page(pod?: Pod): Promise<string>;
}

/** The ends of the leaf that is presented and of the first root to verify by, in seconds since 1970. */
export interface Shown {
  readonly leaf: number;
  readonly root: number | undefined;
}

const service = "emissary-ingress-admin";

export async function startEmissary(options: EmissaryOptions): Promise<Emissary> {
  const { access, admin, namespace, namespaces = [], ambassadorId = "default" } = options;
  const { reconfigMaxDelayMs = 1_000, envoy = "envoy" } = options;
  const [port = 0, adminPort = 0, metricsPort = 0] = await freePorts(3);
  const folder = await mkdtemp(join(tmpdir(), "attache-emissary-"));
  const network = `127.${randomInt(1, 255)}.${randomInt(0, 255)}`;
  const pods: Pod[] = [];
  let started = 0;

  async function start(): Promise<Pod> {
    started += 1;
    const host = `${network}.${started}`;
    return startPod({
      ...{ access, host, port, adminPort, metricsPort, ambassadorId, reconfigMaxDelayMs, envoy },
      folder: join(folder, host),
      ...(options.istioFiles && { istioFiles: { namespace, folder: options.istioFiles } }),
      namespaces: [...new Set([namespace, ...namespaces])],
    });
  }

  async function end(ended: readonly Pod[]): Promise<void> {
    await Promise.all(ended.map((pod) => pod[Symbol.asyncDispose]()));
  }

  /**
   * As the controller writes it, but for the type: the API server takes no address of 127.0.0.0/8 that calls
   * itself one.
   */
  async function tell(): Promise<void> {
    await admin.apply(`/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices/${service}-e2e`, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${service}-e2e`, labels: { "kubernetes.io/service-name": service } },
      addressType: "FQDN",
      endpoints: pods.map(({ host }) => ({
        addresses: [host],
        conditions: { ready: true, serving: true, terminating: false },
        targetRef: { kind: "Pod", namespace, name: `emissary-ingress-${host.replaceAll(".", "-")}` },
      })),
      ports: [{ name: "ambassador-admin", port: metricsPort, protocol: "TCP" }],
    });
  }

  async function scale(to: number): Promise<void> {
    if (to < pods.length) {
      const ended = pods.splice(to);
      await tell();
      await end(ended);
    }
    while (pods.length < to) pods.push(await start());
    await tell();
  }

  function url(path: string, { host }: Pod): string {
    return `http://${host}:${port}${path}`;
  }

  function first(): Pod {
    const [pod] = pods;
    if (pod === undefined) throw new Error("there is no pod");
    return pod;
  }

  const emissary: Emissary = {
    pods,
    scale,
    settings: {
      ambassadorId: [ambassadorId],
      service,
      namespace,
      port: metricsPort,
      path: "/metrics",
    },
    url,
    request: (path, pod = first()) => fetch(url(path, pod)),
    page: async ({ host } = first()) => (await fetch(`http://${host}:${metricsPort}/metrics`)).text(),
    async served({ host } = first()) {
      const query = "filter=expiration_unix_time_seconds";
      const answer = await fetch(`http://${host}:${adminPort}/stats/prometheus?${query}`);
      return endsIn(await answer.text());
    },
    async [Symbol.asyncDispose]() {
      await end(pods);
      await rm(folder, { recursive: true });
    },
  };
  try {
    await admin.apply(`/api/v1/namespaces/${namespace}/services/${service}`, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: service },
      spec: { ports: [{ name: "ambassador-admin", port: 8877, targetPort: metricsPort }] },
    });
    await scale(options.pods ?? 1);
    return emissary;
  } catch (error) {
    await emissary[Symbol.asyncDispose]();
    throw error;
  }
}

/** Of a page of metrics, as {@link Emissary.served}. */
export function endsIn(page: string): ReadonlyMap<string, Shown> {
  const ends = (kind: "cert" | "ca_cert") => {
    const series = new RegExp(
      `^envoy_cluster_ssl_certificate_expiration_unix_time_seconds\\{.*envoy_tls_certificate="unnamed_${kind}_[^"]*".*\\} (\\d+)$`,
      "gm",
    );
    return new Map(
      [...page.matchAll(series)].map(([line, end]) => [
        /envoy_cluster_name="([^"]*)"/.exec(line)?.[1] ?? "",
        Number(end),
      ]),
    );
  };
  const roots = ends("ca_cert");
  return new Map([...ends("cert")].map(([name, leaf]) => [name, { leaf, root: roots.get(name) }]));
}
