import { suffixes } from "../api/rules.ts";
import { fieldsOf, listOf, textOf } from "../emissary/fields.ts";
import type { SecretName } from "../emissary/tls-context.ts";
import { quoted } from "../text/quoted.ts";
import type { Given } from "./given.ts";
import type { Move, Setup, Step } from "./setup.ts";
import { isBelow, type Workload } from "./workload.ts";

/** Ends the name of the TLSContext that attaché publishes at first, beside the former one. */
export const beside = "-attache";

/**
 * In an order in which each TLSContext has a leaf at any time. It keeps its name: consumers of another name would
 * get another cluster of Envoy, and between the two a request may fail.
 */
export function cutOver(moves: readonly Move[], setup: Setup, command: string): Step[] {
  return [
    ...caOfConsul(setup),
    ...(setup.isOfPod ? register(moves, setup) : []),
    install(moves, setup, command),
    compare(moves),
    switching(moves),
    adopt(moves, setup),
    ...(setup.end === undefined ? stop(moves, setup.workload.given) : []),
    ...remove(moves, setup),
    ...(setup.end === undefined ? [] : [setup.end]),
  ];
}

/** consul-k8s keeps the CA of its servers in its own namespace. */
function caOfConsul({ values, workload }: Setup): Step[] {
  const { release } = fieldsOf(values.meshes["consul"]);
  const { name, namespace, tls } = fieldsOf(release);
  const to = workload.given.namespace;
  if (release === undefined || tls === false || namespace === to) return [];
  const secret = `${String(name)}-ca-cert`;
  const copy = [
    `kubectl create secret generic ${secret} -n ${to} --dry-run=client -o yaml --from-literal=tls.crt="$(`,
    `  kubectl get secret ${secret} -n ${String(namespace)} -o jsonpath='{.data.tls\\.crt}' | base64 -d)" |`,
    "  kubectl apply --server-side -f -",
  ];
  return [
    {
      title: "Copy the CA of Consul's servers; it holds no key",
      run: [copy.join("\n")],
      see: [`kubectl get secret ${secret} -n ${to}`],
      back: [`kubectl delete secret ${secret} -n ${to}`],
    },
  ];
}

/** SPIRE gives identities to pods: attaché's must get that of the former one. */
function register(moves: readonly Move[], { workload: { given }, source }: Setup): Step[] {
  const { hint } = fieldsOf(source["spiffe"]);
  const object = {
    apiVersion: "spire.spiffe.io/v1alpha1",
    kind: "ClusterSPIFFEID",
    metadata: { name: "attache-migrated" },
    spec: {
      className: "%s",
      spiffeIDTemplate: "%s",
      podSelector: { matchLabels: { "app.kubernetes.io/instance": "attache" } },
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": given.namespace } },
      hint,
    },
  };
  const [read = ""] = moves.flatMap(formerId);
  return [
    {
      title:
        "Have SPIRE give attaché's pods the same SPIFFE ID, with the `federatesWith` of before if trust domains federate",
      run: [
        `ID=$(${read})`,
        "CLASS=$(kubectl get clusterspiffeids -o jsonpath='{.items[0].spec.className}')",
        `printf ${quoted(JSON.stringify(object))} "$CLASS" "$ID" | kubectl apply -f -`,
        `# Without spire-controller-manager: spire-server entry create -spiffeID "$ID" -parentID NODE -selector k8s:ns:${given.namespace} -selector k8s:sa:attache`,
      ],
      see: ['echo "$ID"'],
      back: ["kubectl delete clusterspiffeid attache-migrated"],
    },
  ];
}

/** Of helm, for which the values are those of the end. */
function helm(verb: string, moves: readonly Move[], { workload, isOfPod }: Setup, isBeside: boolean): string {
  const sets = moves.flatMap(({ given: { name } }, index) => [
    ...(isOfPod ? [`identities[${index}].spec.spiffe.id=$ID`] : []),
    ...(isBeside ? [`identities[${index}].spec.target.tlsContext.name=${name}${beside}`] : []),
  ]);
  const flags = sets.map((one) => ` --set "${one}"`).join("");
  return `helm ${verb} attache deploy/helm/attache -n ${workload.given.namespace} -f attache-values.yaml${flags}`;
}

function install(moves: readonly Move[], setup: Setup, command: string): Step {
  return {
    title:
      "Install attaché beside what is there. It publishes new Secrets and TLSContexts, which nothing names yet",
    run: [`${command} -o values > attache-values.yaml`, helm("install", moves, setup, true)],
    see: moves.map(({ given }) => waitFor(given, "Ready")),
    back: [`helm uninstall attache -n ${setup.workload.given.namespace}`],
  };
}

function compare(moves: readonly Move[]): Step {
  return {
    title:
      "Compare the identities: both lines of a TLSContext must name the same SPIFFE ID, by which upstreams authorize",
    run: moves.flatMap((move) => [
      ...formerId(move),
      `kubectl get meshcertificate ${move.given.name} -n ${move.given.namespace} -o jsonpath='{.status.spiffeId}{"\\n"}'`,
    ]),
    see: [
      "# If they differ, correct the values and upgrade, before anything is switched.",
      ...moves.map(({ given }) => `# A Mapping with \`tls: ${given.name}${beside}\` tries it out.`),
    ],
    back: [],
  };
}

/** Where a TLSContext has leaf and roots, in fields of Emissary. */
const sources = [
  "secret",
  "ca_secret",
  "secret_namespacing",
  "cert_chain_file",
  "private_key_file",
  "cacert_chain_file",
];

function switching(moves: readonly Move[]): Step {
  const patch = (given: Given, spec: object) =>
    `kubectl patch ${named(given)} --type merge -p ${quoted(JSON.stringify({ spec }))}`;
  return {
    title:
      "Have the TLSContexts name the Secrets of attaché, also where they come from. All consumers present its leaf now",
    run: moves.map(({ given }) =>
      patch(given, {
        ...Object.fromEntries(sources.map((field) => [field, null])),
        secret: given.name + suffixes.secret,
        ca_secret: given.name + suffixes.caSecret,
        secret_namespacing: false,
      }),
    ),
    see: moves.map(({ given }) => waitFor(given, "Protected")),
    back: moves.map(({ given }) => {
      const spec = fieldsOf(given.object["spec"]);
      return patch(given, Object.fromEntries(sources.map((field) => [field, spec[field] ?? null])));
    }),
  };
}

function adopt(moves: readonly Move[], setup: Setup): Step {
  return {
    title: "Have attaché take the TLSContexts over, so that it keeps them in step and confirms each rotation",
    run: [helm("upgrade", moves, setup, false)],
    see: moves.flatMap(({ given }) => [
      `kubectl wait ${named(given).replace(" ", "/")} --for=jsonpath='{.metadata.annotations.attache\\.dev/adopted}'=true --timeout=90s`,
      waitFor(given, "Served"),
      waitFor(given, "Protected"),
    ]),
    back: [
      helm("upgrade", moves, setup, true),
      ...moves.map(
        ({ given: { name, namespace } }) =>
          `until kubectl get tlscontexts.getambassador.io ${name}${beside} -n ${namespace}; do sleep 1; done`,
      ),
    ],
  };
}

/** Prints the SPIFFE ID that is presented now, from where the TLSContext has its leaf. */
function formerId({ setup, given, context }: Move): string[] {
  const { workload, leafFile } = setup;
  const file = textOf(fieldsOf(given.object["spec"])["cert_chain_file"]) || leafFile;
  const secret =
    context.secret &&
    `kubectl get ${secretNamed(context.secret)} -o jsonpath='{.data.tls\\.crt}' | base64 -d`;
  const read = file === undefined ? secret : `${shellIn(workload, file)} cat ${quoted(file)}`;
  return read === undefined
    ? []
    : [`${read} | openssl x509 -noout -ext subjectAltName | grep -o 'spiffe://[^, ]*'`];
}

/** In a container that reads the file: that of a helper may have no shell. */
function shellIn({ given: { kind, namespace, name }, pod, container }: Workload, file: string): string {
  const readers = [...listOf(pod["containers"]), ...listOf(pod["initContainers"])].filter(
    ({ volumeMounts }) => listOf(volumeMounts).some(({ mountPath }) => isBelow(file, textOf(mountPath))),
  );
  const reader = readers.find((one) => one["name"] !== container["name"]) ?? container;
  return `kubectl exec ${kind.toLowerCase()}/${name} -n ${namespace} -c ${quoted(textOf(reader["name"]))} --`;
}

function secretNamed({ namespace, name }: SecretName): string {
  return `secret ${quoted(name)} -n ${quoted(namespace)}`;
}

function stop(moves: readonly Move[], { kind, namespace, name, object }: Given): Step[] {
  if (kind !== "Deployment" && kind !== "StatefulSet") return [];
  const scale = (replicas: number) =>
    `kubectl scale ${kind.toLowerCase()} ${name} -n ${namespace} --replicas=${replicas}`;
  const { replicas } = fieldsOf(object["spec"]);
  return [
    {
      title: "Stop what renewed the former certificates. They stay where they are, and a day is no hurry",
      run: [scale(0)],
      see: ["# Requests go on as before."],
      back: [
        scale(typeof replicas === "number" && replicas > 0 ? replicas : 1),
        // Without its Secret, a TLSContext that is named again is plaintext.
        ...secretsOf(moves).map((secret) => `until kubectl get ${secretNamed(secret)}; do sleep 1; done`),
      ],
    },
  ];
}

/** Those that the set-up writes. */
function secretsOf(moves: readonly Move[]): SecretName[] {
  return moves.flatMap(({ setup, context }) => (setup.leafFile === undefined ? (context.secret ?? []) : []));
}

function remove(moves: readonly Move[], { workload: { given }, end }: Setup): Step[] {
  if (end !== undefined) return [];
  const file = `former-${given.kind.toLowerCase()}-${given.name}.yaml`;
  return [
    {
      title: "Remove what is left, also from the charts or repositories that it comes from",
      run: [
        `kubectl get ${named(given)} -o yaml > ${file}`,
        `kubectl delete ${named(given)}`,
        ...secretsOf(moves).map((one) => `kubectl delete ${secretNamed(one)}`),
      ],
      see: ["attache status -A"],
      back: [`kubectl create -f ${file}`],
    },
  ];
}

function named({ kind, namespace, name }: Given): string {
  const plural = kind === "TLSContext" ? "tlscontexts.getambassador.io" : kind.toLowerCase();
  return `${plural} ${name} -n ${namespace}`;
}

function waitFor({ name, namespace }: Given, condition: string): string {
  return `kubectl wait meshcertificate ${name} -n ${namespace} --for=condition=${condition} --timeout=90s`;
}
