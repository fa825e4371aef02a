import { describe, expect, it } from "vitest";
import { edited, manifests, planFor, refusal } from "../../test/fixtures/migration.ts";
import { readObjects } from "./given.ts";

const connector = await manifests("consul-connector");
const plan = planFor;

const contextSpec = "  hosts: []\n";
const hostIp =
  "              valueFrom:\n                fieldRef:\n                  fieldPath: status.hostIP\n";
const more = (...lines: readonly string[]) =>
  [hostIp, `${hostIp}${lines.map((line) => `            ${line}\n`).join("")}`] as const;
const host = (value: string) => [hostIp, `              value: "${value}"\n`] as const;

describe("the plan for Emissary's Consul connector", () => {
  it("asks the same agent for the same service, and publishes it beside the former TLSContext", () => {
    const { values, certificates } = plan(connector);
    expect(values).toEqual({
      meshes: { consul: { enabled: true, mode: "http" } },
      env: [
        { name: "_CONSUL_HOST", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
        { name: "CONSUL_HTTP_ADDR", value: "http://$(_CONSUL_HOST):8500" },
      ],
      identities: [
        { name: "ambassador-consul", spec: { consul: { service: "ambassador" }, target: { adopt: true } } },
      ],
      emissary: [{}],
    });
    expect(certificates).toMatchObject([
      { kind: "MeshCertificate", metadata: { name: "ambassador-consul", namespace: "ambassador" } },
    ]);
  });

  it("publishes beside the TLSContext, switches that, takes it over, and each step can be undone", () => {
    const { steps } = plan(connector);
    const [install, compare, switching, adopt, stop, remove] = steps;
    expect(steps).toHaveLength(6);
    expect(install?.run).toEqual([
      "attache migrate a.yaml -o values > attache-values.yaml",
      'helm install attache deploy/helm/attache -n ambassador -f attache-values.yaml --set "identities[0].spec.target.tlsContext.name=ambassador-consul-attache"',
    ]);
    expect(compare?.run[0]).toMatch(/^kubectl get secret ambassador-consul-connect -n ambassador .*spiffe:/);
    const none = { cert_chain_file: null, private_key_file: null, cacert_chain_file: null };
    const patch = (spec: object) => [
      `kubectl patch tlscontexts.getambassador.io ambassador-consul -n ambassador --type merge -p '${JSON.stringify({ spec })}'`,
    ];
    const secrets = { secret: "ambassador-consul-mesh-cert", ca_secret: "ambassador-consul-mesh-ca" };
    expect(switching?.run).toEqual(patch({ ...secrets, secret_namespacing: false, ...none }));
    const former = { secret: "ambassador-consul-connect", ca_secret: null, secret_namespacing: null };
    expect(switching?.back).toEqual(patch({ ...former, ...none }));
    expect(adopt?.run).toEqual([
      "helm upgrade attache deploy/helm/attache -n ambassador -f attache-values.yaml",
    ]);
    expect(adopt?.back[0]).toContain("tlsContext.name=ambassador-consul-attache");
    expect(stop?.run).toEqual([
      "kubectl scale deployment ambassador-consul-connect-integration -n ambassador --replicas=0",
    ]);
    expect(remove?.run.at(-1)).toBe("kubectl delete secret ambassador-consul-connect -n ambassador");
    expect(remove?.back[0]).toContain("kubectl create -f former-deployment-");
  });

  it("carries over each field of the TLSContext that attaché has", () => {
    const fields = {
      ambassador_id: "[edge]",
      alpn_protocols: "h2,http/1.1",
      sni: "web.example.org",
      min_tls_version: "v1.2",
      max_tls_version: "v1.3",
      cipher_suites: "[ECDHE-ECDSA-AES128-GCM-SHA256]",
      ecdh_curves: "[P-256]",
      secret_namespacing: "true",
    };
    const lines = Object.entries(fields)
      .map(([field, value]) => `  ${field}: ${value}\n`)
      .join("");
    const ids = ['  hostname: "*"\n', '  hostname: "*"\n  ambassador_id: [edge]\n'] as const;
    const { values } = plan(edited(connector, [contextSpec, lines], ids));
    expect(values["identities"]).toMatchObject([
      {
        spec: {
          target: {
            adopt: true,
            tlsContext: {
              ambassadorId: ["edge"],
              alpnProtocols: "h2,http/1.1",
              sni: "web.example.org",
              minTlsVersion: "v1.2",
              maxTlsVersion: "v1.3",
              cipherSuites: ["ECDHE-ECDSA-AES128-GCM-SHA256"],
              ecdhCurves: ["P-256"],
            },
          },
        },
      },
    ]);
    expect(values["emissary"]).toEqual([{ ambassadorId: ["edge"] }]);
  });

  it("gives the Secrets the labels by which Emissary selects what it reads, and no others", () => {
    const labels = "  labels: { edge: public, app.kubernetes.io/instance: argo }\nspec:\n  hosts";
    const selector = "- { name: AMBASSADOR_LABEL_SELECTOR, value: 'edge in (public, both)' }";
    const text = edited(connector, ["spec:\n  hosts", labels]);
    expect(plan(text).certificates).toMatchObject([{ spec: { target: { adopt: true } } }]);
    expect(plan(edited(text, more(selector))).certificates).toMatchObject([
      { spec: { target: { adopt: true, labels: { edge: "public" } } } },
    ]);
  });

  it("follows the connector's own variables: identity, Secret and its namespace", () => {
    const text = edited(
      connector,
      more("- { name: _AMBASSADOR_ID, value: edge }", "- { name: _AMBASSADOR_TLS_SECRET_NAME, value: mesh }"),
      ["secret: ambassador-consul-connect", "secret: mesh"],
    );
    expect(plan(text).certificates).toMatchObject([{ spec: { consul: { service: "ambassador-edge" } } }]);
    const named = more("- { name: _AMBASSADOR_ID, value: edge }");
    const own = ["secret: ambassador-consul-connect", "secret: ambassador-edge-consul-connect"] as const;
    expect(plan(edited(connector, named, own)).certificates).toHaveLength(1);
  });

  it.each([
    ["consul-server.consul.svc", "8501", { release: { name: "consul", namespace: "consul" } }],
    ["consul-server", "8500", { release: { name: "consul", namespace: "ambassador", tls: false } }],
    [
      "hashicorp-consul-server-0.hashicorp-consul-server.default.svc.cluster.local",
      "8500",
      { release: { name: "hashicorp-consul", namespace: "default", tls: false } },
    ],
    ["10.0.0.5", "8500", { mode: "http", address: "http://10.0.0.5:8500" }],
    ["agent.example.org", "8501", { mode: "http", address: "https://agent.example.org:8501" }],
  ])("asks %s:%s as it can be asked", (address, port, mesh) => {
    const text = edited(connector, [
      hostIp,
      `              value: ${address}\n            - { name: _CONSUL_PORT, value: "${port}" }\n`,
    ]);
    expect(plan(text).values["meshes"]).toEqual({ consul: { enabled: true, ...mesh } });
  });

  it("copies the CA of Consul's servers where they are asked over TLS", () => {
    const text = edited(connector, host("consul-server.consul.svc"), [
      "            - name: _AMBASSADOR_TLS",
      '            - { name: CONSUL_HTTP_SSL, value: "true" }\n            - name: _AMBASSADOR_TLS',
    ]);
    const [copy] = plan(text).steps;
    expect(copy?.run.join()).toContain("kubectl get secret consul-ca-cert -n consul");
  });

  it("keeps variables that the address is made of, and a token in its Secret", () => {
    const token = "- { name: CONSUL_HTTP_TOKEN, valueFrom: { secretKeyRef: { name: token, key: token } } }";
    const ip = "- { name: HOST_IP, valueFrom: { fieldRef: { fieldPath: status.hostIP } } }";
    const text = edited(
      connector,
      ["            - name: _CONSUL_HOST\n", `            ${ip}\n            - name: _CONSUL_HOST\n`],
      [hostIp, `              value: $(HOST_IP)\n            ${token}\n`],
    );
    expect(plan(text).values["env"]).toEqual([
      { name: "HOST_IP", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
      { name: "CONSUL_HTTP_ADDR", value: "http://$(HOST_IP):8500" },
      { name: "CONSUL_HTTP_TOKEN", valueFrom: { secretKeyRef: { name: "token", key: "token" } } },
    ]);
  });

  it("keeps the files that Consul's variables name, with their volumes", () => {
    const text = edited(
      connector,
      host("10.0.0.5"),
      [
        "            - name: _AMBASSADOR_TLS",
        "            - { name: CONSUL_CACERT, value: /consul/ca/tls.crt }\n            - name: _AMBASSADOR_TLS",
      ],
      [
        "          resources:\n",
        "          volumeMounts: [{ name: ca, mountPath: /consul/ca }, { name: tmp, mountPath: /tmp }]\n          resources:\n",
      ],
      [
        "      terminationGracePeriodSeconds: 0\n",
        "      volumes: [{ name: ca, secret: { secretName: consul-ca } }, { name: tmp, emptyDir: {} }]\n",
      ],
    );
    expect(plan(text).values).toMatchObject({
      env: [{ name: "CONSUL_CACERT", value: "/consul/ca/tls.crt" }],
      volumes: [{ name: "ca", secret: { secretName: "consul-ca" } }],
      volumeMounts: [{ name: "ca", mountPath: "/consul/ca" }],
    });
  });

  it("reads each object once, and a Pod only if nothing else has made it", () => {
    const pod = {
      ...{ apiVersion: "v1", kind: "Pod" },
      metadata: {
        ...{ name: "connector-5f7", namespace: "ambassador" },
        ownerReferences: [{ kind: "ReplicaSet", name: "connector-5f7", controller: true }],
      },
      spec: { containers: [{ name: "connector", command: ["consul_connect_integration"] }] },
    };
    const text = `${connector}---\n${connector}---\n${JSON.stringify(pod)}\n`;
    expect(plan(text)).toEqual(plan(connector));
  });

  it("replaces variables by values that stand there", () => {
    const text = edited(
      connector,
      more("- { name: ID, value: edge }", "- { name: _AMBASSADOR_ID, value: $(ID)-1 }"),
      ["secret: ambassador-consul-connect", "secret: ambassador-edge-1-consul-connect"],
    );
    expect(plan(text).certificates).toMatchObject([{ spec: { consul: { service: "ambassador-edge-1" } } }]);
  });

  it("asks the Emissary whose admin Service is given, whatever its name", () => {
    const service =
      "apiVersion: v1\nkind: Service\nmetadata: { name: edge-stack-admin, namespace: edge }\nspec: { ports: [{ name: ambassador-admin, port: 8877 }] }\n";
    expect(plan(`${connector}---\n${service}`).values["emissary"]).toEqual([
      { service: "edge-stack-admin", namespace: "edge" },
    ]);
  });
});

/** Its TLSContext as Emissary reads it from a Service. */
function annotated(text: string): string {
  const [context = ""] = text.split("---\n").filter((one) => one.includes("kind: TLSContext"));
  const metadata = {
    name: "edge",
    namespace: "ambassador",
    annotations: { "getambassador.io/config": context },
  };
  return text.replace(context, `${JSON.stringify({ apiVersion: "v1", kind: "Service", metadata })}\n`);
}

const hostObject = (spec: string) =>
  `---\napiVersion: getambassador.io/v3alpha1\nkind: Host\nmetadata: { name: edge, namespace: ambassador }\nspec: ${spec}\n`;

describe("a migration is refused, with the place and the remedy,", () => {
  it.each<[string, string, string]>([
    [
      "what presents it to clients",
      edited(connector, ["hosts: []", "hosts: [a.example]"]),
      "a.yaml:29:3 spec.hosts: presents the certificate to clients",
    ],
    [
      "a field for clients",
      edited(connector, [contextSpec, "  redirect_cleartext_from: 8080\n"]),
      "a.yaml:29:3 spec.redirect_cleartext_from: is for clients",
    ],
    [
      "a field that freezes Envoy",
      edited(connector, [contextSpec, "  cert_required: true\n"]),
      "spec.cert_required: is for clients; towards an upstream, Envoy refuses it: remove it",
    ],
    [
      "revocation lists of its own",
      edited(connector, [contextSpec, "  crl_secret: lists\n"]),
      "spec.crl_secret: names revocation lists that attaché does not know",
    ],
    [
      "an unknown field",
      edited(connector, [contextSpec, "  later: 1\n"]),
      "spec.later: is unknown to attaché, and would be lost",
    ],
    [
      "a cipher suite that Envoy does not know",
      edited(connector, [contextSpec, "  cipher_suites: [NULL-SHA]\n"]),
      "a.yaml:29:19 spec.cipher_suites.0: attaché does not take it: must be one of",
    ],
    [
      "ALPN that makes Envoy abort",
      edited(connector, [contextSpec, '  alpn_protocols: "h2,"\n']),
      "a.yaml:29:3 spec.alpn_protocols: attaché does not take it: must be names",
    ],
    [
      "a consumer that is plaintext already",
      edited(connector, ["  resolver:", "  ambassador_id: [other]\n  resolver:"]),
      "spec.ambassador_id: its ambassador_id is none of those of the TLSContext, and its requests are plaintext: correct it first",
    ],
    [
      "a Host that presents the Secret",
      connector + hostObject("{ tlsSecret: { name: ambassador-consul-connect } }"),
      "spec: presents what TLSContext ambassador/ambassador-consul has to clients",
    ],
    [
      "a Host that names the TLSContext",
      connector + hostObject("{ tlsContext: { name: ambassador-consul } }"),
      "spec: presents what TLSContext",
    ],
    [
      "the connector without its TLSContext",
      connector.replace("kind: TLSContext", "kind: Other"),
      "metadata.name: is Emissary's Consul connector, and no TLSContext names its Secret ambassador/ambassador-consul-connect: give the TLSContexts",
    ],
    [
      "a migration that has begun",
      `${connector}---\napiVersion: getambassador.io/v3alpha1\nkind: TLSContext\nmetadata: { name: ambassador-consul-attache, namespace: x }\nspec: {}\n`,
      'the TLSContext "ambassador-consul-attache", which is to stand beside it, exists',
    ],
    [
      "a token in plain text",
      edited(connector, more("- { name: CONSUL_HTTP_TOKEN, value: 6a5f1c9e }")),
      "CONSUL_HTTP_TOKEN stands here in plain text: put it into a Secret",
    ],
    [
      "a value from elsewhere",
      edited(
        connector,
        more("- { name: _AMBASSADOR_ID, valueFrom: { configMapKeyRef: { name: a, key: b } } }"),
      ),
      "has a value that does not stand here: write it as `value`",
    ],
    [
      "variables from elsewhere",
      edited(connector, [
        "          env:",
        "          envFrom: [{ configMapRef: { name: a } }]\n          env:",
      ]),
      "envFrom: may set more variables: write them as `env`",
    ],
    ["an agent in its own pod", edited(connector, host("127.0.0.1")), "asks a Consul agent in its own pod"],
    [
      "two connectors of two namespaces",
      `${connector}---\n${connector.replaceAll("namespace: ambassador", "namespace: edge").replaceAll("ambassador-consul\n", "edge\n")}`,
      "needs other values than Deployment ambassador/ambassador-consul-connect-integration: give the objects of one set-up at a time",
    ],
    [
      "two set-ups of one TLSContext",
      `${connector}---\n${connector.replaceAll("name: ambassador-consul-connect-integration", "name: again")}`,
      "metadata.name: is fed by Emissary's Consul connector (container consul-connect-integration of Deployment ambassador/ambassador-consul-connect-integration) and by Emissary's Consul connector (container consul-connect-integration of Deployment ambassador/again): give one of them",
    ],
    [
      "an object in two versions",
      `${connector}---\n${connector.replace("secret: ambassador-consul-connect", "secret: another")}`,
      "differs from TLSContext ambassador/ambassador-consul at a.yaml:",
    ],
    [
      "an identity whose name is computed",
      edited(
        connector,
        more(
          "- { name: ID, valueFrom: { configMapKeyRef: { name: a, key: b } } }",
          "- { name: _AMBASSADOR_ID, value: $(ID) }",
        ),
      ),
      "has a value that does not stand here: write it as `value`",
    ],
    [
      "labels to select by that do not stand here",
      edited(
        connector,
        more("- { name: AMBASSADOR_LABEL_SELECTOR, valueFrom: { configMapKeyRef: { name: a, key: b } } }"),
      ),
      "has a value that does not stand here: write it as `value`",
    ],
    [
      "a TLSContext in an annotation",
      annotated(connector),
      'the TLSContext "ambassador-consul" stands in an annotation, where attaché cannot take it over',
    ],
    [
      "nothing of the kind",
      "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n",
      "a.yaml:1:1 : no set-up that `attache migrate` knows",
    ],
    [
      "no object",
      "env: { AMBASSADOR_ID: edge }\n",
      "a.yaml:1:1 : is no Kubernetes object: give what `kubectl get -o yaml` prints",
    ],
    [
      "a name that no API server takes",
      edited(connector, ["name: ambassador-consul\n", "name: $(reboot)\n"]),
      "a.yaml:26:3 metadata.name: is not a name that Kubernetes takes",
    ],
    ["broken YAML", `${connector}---\na: [\n`, "a.yaml:"],
  ])("%s", (_, text, said) => {
    expect(refusal(text).join("\n")).toContain(said);
  });

  it("a file that is too long", () => {
    expect(refusal(`# ${"x".repeat(1024 * 1024)}\n`)[0]).toContain("more than 1048576 bytes: split the file");
  });

  it("with all problems at once", () => {
    const text = edited(connector, [contextSpec, "  later: 1\n  cert_required: true\n"], host("localhost"));
    expect(refusal(text)).toHaveLength(3);
  });
});

it("a list of kubectl, and of one kind, is read like single objects", () => {
  const single = readObjects(connector, "a.yaml", "default").map(({ object }) => object);
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: single });
  expect(plan(list)).toEqual(plan(connector));
});
