import { fieldsOf, textOf } from "../emissary/fields.ts";
import { istioCerts } from "../emissary/tls-context.ts";
import { DocumentError, type Problem } from "../text/yaml/document-error.ts";
import { parseYaml } from "../text/yaml/document.ts";
import { type Fields, type Given, problemAt } from "./given.ts";
import type { Setup, Step } from "./setup.ts";
import { environmentOf, isBelow, valueOf, type Workload, workloadsOf } from "./workload.ts";

const config = "proxy.istio.io/config";
const folderVariable = "AMBASSADOR_ISTIO_SECRET_DIR";

/** A sidecar of Istio in Emissary's pods that writes its files for Emissary (emissary-ingress.dev, howtos/istio). */
export function istioSidecars(objects: readonly Given[], problems: Problem[]): Setup[] {
  const emissaries = workloadsOf(objects).filter((workload) => environmentOf(workload).has(folderVariable));
  return emissaries.map((workload) => {
    problems.push(...intercepted(workload, objects));
    return setupOf(workload, problems);
  });
}

function setupOf(workload: Workload, problems: Problem[]): Setup {
  const { given, labels, pod } = workload;
  const { discoveryAddress, proxyMetadata } = proxyConfig(workload, problems);
  const metadata = fieldsOf(proxyMetadata);
  for (const [key, usual] of Object.entries(otherSources)) {
    if (scalarText(metadata[key] ?? usual) === usual) continue;
    const message = `proxyMetadata.${key}: the agent gets its certificates in a way that attaché does not: remove it first`;
    problems.push(problemAt(given, configPath(given), message));
  }
  const folder =
    valueOf(workload, environmentOf(workload).get(folderVariable), problems) ?? "/etc/istio-certs";
  const revision = textOf(labels["istio.io/rev"]);
  const isRevision = revision !== "" && revision !== "default";
  const known: readonly (readonly [key: string, value: unknown])[] = [
    [
      "address",
      metadata["CA_ADDR"] ??
        discoveryAddress ??
        (isRevision ? `istiod-${revision}.istio-system.svc:15012` : undefined),
    ],
    ["serverName", metadata["ISTIOD_SAN"]],
    ["clusterId", metadata["ISTIO_META_CLUSTER_ID"]],
    ["trustDomain", metadata["TRUST_DOMAIN"]],
    ["ttl", metadata["SECRET_TTL"]],
  ];
  const istio = Object.fromEntries(
    known.flatMap(([key, value]) => (value === undefined || value === "" ? [] : [[key, scalarText(value)]])),
  );
  return {
    what: "an Istio sidecar that writes certificates for Emissary",
    workload,
    values: {
      meshes: { istio: { enabled: true, ...istio } },
    },
    source: {
      istio: {
        serviceAccount: textOf(pod["serviceAccountName"]) || textOf(pod["serviceAccount"]) || "default",
      },
    },
    feeding: `the Secret ${istioCerts} or a file in ${folder}`,
    feeds: ({ secret }, spec) =>
      (secret?.name === istioCerts && secret.namespace === given.namespace) ||
      isBelow(textOf(spec["cert_chain_file"]), folder),
    leafFile: `${folder.replace(/\/+$/, "")}/cert-chain.pem`,
    end: end(workload),
  };
}

/**
 * Variables with which Istio's agent asks no istiod, or in another way than attaché does, and their defaults
 * (pilot/cmd/pilot-agent/options/options.go of istio/istio).
 */
const otherSources: Readonly<Record<string, string>> = {
  CA_PROVIDER: "Citadel",
  CREDENTIAL_FETCHER_TYPE: "JWT",
  FILE_MOUNTED_CERTS: "false",
  PROV_CERT: "",
  CA_ROOT_CA: "",
  ISTIO_META_CERT_SIGNER: "",
  WORKLOAD_IDENTITY_SOCKET_FILE: "socket",
};

/** What the sidecar's agent is configured with. */
function proxyConfig({ given, annotations }: Workload, problems: Problem[]): Fields {
  const written = annotations[config];
  const wrong = (what: string) => {
    problems.push(problemAt(given, configPath(given), `${what}: write it as Istio's ProxyConfig has it`));
    return {};
  };
  if (written === undefined || written === "") return {};
  try {
    const [document, another] = parseYaml(textOf(written), config);
    const isMap = (one: unknown) => typeof one === "object" && one !== null && !Array.isArray(one);
    if (another !== undefined || !isMap(document?.value)) return wrong("is no map in YAML");
    const fields = fieldsOf(document?.value);
    const { proxyMetadata = {} } = fields;
    return isMap(proxyMetadata) ? fields : wrong("has a proxyMetadata that is no map");
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    return wrong(`is not YAML: ${error.problems[0]?.message ?? ""}`);
  }
}

/** YAML takes `1` and `true` for more than text; Istio wants text. */
function scalarText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function configPath(given: Given): readonly string[] {
  return [...templatePath(given), "metadata", "annotations", config];
}

/** Requests of Emissary that the sidecar encrypts in its place, and that would leave without it in plaintext. */
function intercepted({ annotations }: Workload, objects: readonly Given[]): Problem[] {
  const ranges = annotations["traffic.sidecar.istio.io/includeOutboundIPRanges"];
  if (ranges === "" || annotations["sidecar.istio.io/interceptionMode"] === "NONE") return [];
  const kinds = new Set(["Mapping", "TCPMapping", "AuthService", "RateLimitService"]);
  const message =
    "has no `tls`, and Emissary's sidecar may encrypt its requests, which would be plaintext without it: name a TLSContext; or, if they may be plaintext, set traffic.sidecar.istio.io/includeOutboundIPRanges of Emissary's pods to \"\" first";
  return objects
    .filter(({ kind, object }) => {
      const { tls, service, auth_service: authService } = fieldsOf(object["spec"]);
      const isEncrypted =
        tls === true || textOf(tls) !== "" || /^https:/i.test(textOf(service ?? authService));
      return kinds.has(kind) && !isEncrypted;
    })
    .map((given) => problemAt(given, ["spec", "service"], message));
}

function templatePath({ kind }: Given): readonly string[] {
  return kind === "Pod" ? [] : ["spec", "template"];
}

function end({ given: { kind, namespace, name } }: Workload): Step {
  const where = `${kind.toLowerCase()} ${name} -n ${namespace}`;
  const patch = {
    spec: {
      template: {
        metadata: {
          labels: { "sidecar.istio.io/inject": "false" },
          annotations: { [config]: null, "sidecar.istio.io/userVolumeMount": null },
        },
      },
    },
  };
  return {
    title: `Take the sidecar from Emissary, also in its values: the annotations of Istio, the volume ${istioCerts}, ${folderVariable}, AMBASSADOR_ENVOY_BASE_ID. Its pods are replaced`,
    run: [`kubectl patch ${where} --type strategic -p '${JSON.stringify(patch)}'`],
    see: [`kubectl rollout status ${where}`, "attache status --mappings -A"],
    back: [`kubectl rollout undo ${where}`, `kubectl rollout status ${where}`],
  };
}
