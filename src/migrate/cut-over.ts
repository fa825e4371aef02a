import { type Consumer, consumerKey } from "../emissary/consumer.ts";
import { fieldsOf, textOf } from "../emissary/fields.ts";
import type { SecretName } from "../emissary/tls-context.ts";
import type { Given } from "./given.ts";
import type { Move, Setup, Step } from "./setup.ts";
import { isBelow, listOf, type Workload } from "./workload.ts";

/**
 * In an order in which requests have a working context at any time: the new one beside the former, consumer
 * after consumer, and the former one goes when nothing names it.
 */
export function cutOver(moves: readonly Move[], setup: Setup, command: string): Step[] {
  const users = moves.flatMap((move) => move.users.map((user) => ({ move, user })));
  const [first, ...others] = users;
  return [
    ...caOfConsul(setup),
    ...(setup.isOfPod ? register(moves, setup) : []),
    install(moves, setup, command),
    identityOf(moves),
    ...(first === undefined ? [] : [switching([first], `Switch ${consumerKey(first.user)}`)]),
    ...(others.length === 0 ? [] : [switching(others, "Switch the others")]),
    ...(setup.end === undefined ? stop(moves, setup.workload.given) : []),
    remove(moves, setup),
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

function install(moves: readonly Move[], { workload, isOfPod }: Setup, command: string): Step {
  const { namespace } = workload.given;
  const ids = isOfPod ? moves.map((_, index) => ` --set "identities[${index}].spec.spiffe.id=$ID"`) : [];
  return {
    title:
      "Install attaché beside what is there. It publishes new Secrets and TLSContexts, which nothing names yet",
    run: [
      `${command} -o values > attache-values.yaml`,
      `helm install attache deploy/helm/attache -n ${namespace} -f attache-values.yaml${ids.join("")}`,
    ],
    see: moves.map(({ name, given }) => waitFor(name, given, "Ready")),
    back: [`helm uninstall attache -n ${namespace}`],
  };
}

function identityOf(moves: readonly Move[]): Step {
  return {
    title:
      "Compare the identities: both lines of a TLSContext must name the same SPIFFE ID, by which upstreams authorize",
    run: moves.flatMap((move) => [
      ...formerId(move),
      `kubectl get meshcertificate ${move.name} -n ${move.given.namespace} -o jsonpath='{.status.spiffeId}{"\\n"}'`,
    ]),
    see: ["# If they differ, correct the values and upgrade, before anything is switched."],
    back: [],
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
  const readers = listOf(pod["containers"]).filter(({ volumeMounts }) =>
    listOf(volumeMounts).some(({ mountPath }) => isBelow(file, textOf(mountPath))),
  );
  const reader = readers.find((one) => one["name"] !== container["name"]) ?? container;
  return `kubectl exec ${kind.toLowerCase()}/${name} -n ${namespace} -c ${quoted(textOf(reader["name"]))} --`;
}

function secretNamed({ namespace, name }: SecretName): string {
  return `secret ${quoted(name)} -n ${quoted(namespace)}`;
}

interface Use {
  readonly move: Move;
  readonly user: Consumer;
}

function switching(uses: readonly Use[], title: string): Step {
  const moved = [...new Set(uses.map(({ move }) => move))];
  return {
    title: `${title}, and send requests through it`,
    run: uses.map(({ move, user }) => naming(user, move.context.name, move.name)),
    see: [
      "attache status --mappings -A",
      ...moved.map(({ name, given }) => waitFor(name, given, "Served")),
      ...moved.map(({ name, given }) => waitFor(name, given, "Protected")),
    ],
    back: uses.map(({ move, user }) => naming(user, move.name, move.context.name)),
  };
}

/** Has the consumer name `to` in place of `from`. */
function naming({ kind, namespace, name, holder }: Consumer, from: string, to: string): string {
  if (holder !== undefined)
    return `# In the annotation getambassador.io/config of ${consumerKey(holder)}: \`tls: ${to}\` in place of \`tls: ${from}\` in ${kind} ${name}.`;
  const patch = JSON.stringify({ spec: { tls: to } });
  return `kubectl patch ${kind.toLowerCase()}s.getambassador.io ${name} -n ${namespace} --type merge -p '${patch}'`;
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

function remove(moves: readonly Move[], { workload, end }: Setup): Step {
  const contexts = moves.filter((move) => move.given.holder === undefined).map((move) => move.given);
  const program = end === undefined ? [workload.given] : [];
  const objects = [...contexts, ...program];
  const file = ({ kind, namespace, name }: Given) => `former-${kind.toLowerCase()}-${namespace}-${name}.yaml`;
  return {
    title: "Remove the former objects, also from the charts or repositories that they come from",
    run: [
      ...objects.map((one) => `kubectl get ${named(one)} -o yaml > ${file(one)}`),
      ...contexts.map((one) => `${unused(one.name)} && kubectl delete ${named(one)}`),
      ...program.map((one) => `kubectl delete ${named(one)}`),
      ...secretsOf(moves).map((one) => `kubectl delete ${secretNamed(one)}`),
    ],
    see: [
      "# No line names an object that still names a former TLSContext: such a TLSContext is not deleted.",
    ],
    back: objects.toReversed().map((one) => `kubectl create -f ${file(one)}`),
  };
}

const plurals = ["mappings", "tcpmappings", "authservices", "ratelimitservices"];

/** Prints what names a context, in all namespaces, and fails if anything does: its requests would be plaintext. */
function unused(context: string): string {
  const kinds = plurals.map((one) => `${one}.getambassador.io`).join(",");
  const fields = `{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.spec.tls}{"\\n"}{end}`;
  return `users=$(kubectl get ${kinds} -A -o jsonpath='${fields}') && ! echo "$users" | grep ' ${context.replaceAll(".", "[.]")}$'`;
}

/** For a shell, if it is more than a name. */
export function quoted(text: string): string {
  return /^[\w./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function named({ kind, namespace, name }: Given): string {
  const plural = kind === "TLSContext" ? "tlscontexts.getambassador.io" : kind.toLowerCase();
  return `${plural} ${name} -n ${namespace}`;
}

function waitFor(name: string, { namespace }: Given, condition: string): string {
  return `kubectl wait meshcertificate ${name} -n ${namespace} --for=condition=${condition} --timeout=90s`;
}
