import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { edited, manifests, planFor, refusal } from "../../test/fixtures/migration.ts";
import { readObjects } from "./given.ts";
import { planOf } from "./plan.ts";

const helper = await manifests("spiffe-helper");
const template = await manifests("consul-template");

describe("the plan for spiffe-helper", () => {
  it("mounts the same socket, and has SPIRE give attaché's pods the SPIFFE ID that the Secret has", () => {
    const { values, steps } = planFor(helper);
    expect(values).toEqual({
      meshes: { spiffe: { enabled: true } },
      identities: [
        {
          name: "mesh",
          spec: { spiffe: {}, target: { adopt: true, tlsContext: { minTlsVersion: "v1.2" } } },
        },
      ],
      emissary: [{}],
    });
    const [register, install] = steps;
    expect(register?.run[0]).toMatch(
      /^ID=\$\(kubectl get secret mesh-svid -n emissary .* \| grep -o 'spiffe:/,
    );
    expect(register?.run[2]).toContain('"spiffeIDTemplate":"%s"');
    expect(install?.run[1]).toContain('--set "identities[0].spec.spiffe.id=$ID"');
  });

  it("waits for the Secret before a TLSContext that names it is named again", () => {
    const stop = planFor(helper).steps.find(({ title }) => title.startsWith("Stop"));
    expect(stop?.back.at(-1)).toBe("until kubectl get secret mesh-svid -n emissary; do sleep 1; done");
  });

  it("carries over hint, federated trust domains, and a socket that no CSI driver brings", () => {
    const text = edited(
      helper,
      ['    renew_signal = "SIGHUP"\n', '    hint = "edge"\n    include_federated_domains = true\n'],
      ["csi: { driver: csi.spiffe.io, readOnly: true }", "hostPath: { path: /run/spire/agent-sockets }"],
    );
    expect(planFor(text).values).toMatchObject({
      meshes: {
        spiffe: {
          endpointSocket: "unix:///spiffe-workload-api/spire-agent.sock",
          federatedTrustDomains: ["*"],
        },
      },
      volumes: [{ name: "spiffe-workload-api", hostPath: { path: "/run/spire/agent-sockets" } }],
      volumeMounts: [{ name: "spiffe-workload-api", mountPath: "/spiffe-workload-api" }],
      identities: [{ spec: { spiffe: { hint: "edge" } } }],
    });
    const driver = edited(helper, ["driver: csi.spiffe.io", "driver: csi.example"]);
    expect(planFor(driver).values["meshes"]).toEqual({ spiffe: { enabled: true, csiDriver: "csi.example" } });
  });

  it("is taken from Emissary's pod, where the TLSContext names its files as Emissary sees them", () => {
    const emissary =
      "      containers:\n        - { name: emissary, image: emissary, volumeMounts: [{ name: certs, mountPath: /mesh/ }] }\n";
    const text = edited(
      helper,
      [
        "  name: spiffe-helper\n  namespace: emissary\n  labels",
        "  name: emissary\n  namespace: emissary\n  labels",
      ],
      ["      containers:\n", emissary],
      ["  secret: mesh-svid\n", "  cert_chain_file: /mesh/tls.crt\n  private_key_file: /mesh/tls.key\n"],
      ["  ca_secret: mesh-svid-ca\n", ""],
    );
    const { steps } = planFor(text);
    expect(steps[0]?.run[0]).toContain(
      "kubectl exec deployment/emissary -n emissary -c emissary -- cat /mesh/tls.crt",
    );
    expect(steps.at(-1)?.run).toEqual([
      `kubectl patch deployment emissary -n emissary --type strategic -p '{"spec":{"template":{"spec":{"containers":[{"name":"spiffe-helper","$patch":"delete"}]}}}}'`,
    ]);
  });

  it("is taken from where it is a sidecar of Kubernetes itself", () => {
    const emissary =
      "      containers:\n        - { name: emissary, image: emissary, volumeMounts: [{ name: certs, mountPath: /mesh/ }] }\n      initContainers:\n";
    const text = edited(
      helper,
      ["      containers:\n", emissary],
      ["0.10.0\n", "0.10.0\n          restartPolicy: Always\n"],
    );
    expect(planFor(text).steps.at(-1)?.run[0]).toContain(
      '{"initContainers":[{"name":"spiffe-helper","$patch":"delete"}]}',
    );
  });

  it("reads the configuration that its flag names, among several", () => {
    const another =
      '  other.conf: |\n    svid_file_name = "other.crt"\n    jwt_svids = [{jwt_audience="a"}]\n';
    const text = edited(helper, ["\ndata:\n", `\ndata:\n${another}`]);
    expect(planFor(text).certificates).toHaveLength(1);
    expect(refusal(edited(text, ["config/helper.conf", "config"])).join()).toContain(
      "its configuration may be any of other.conf, helper.conf: give that alone",
    );
  });

  it("is read from a file of its own, and with the keys of older versions", () => {
    const [configMap = "", ...objects] = helper.split("---\n");
    const { data } = parse(configMap) as { readonly data: Readonly<Record<string, string>> };
    const file = (data["helper.conf"] ?? "").replace("svid_file_name", "svidFileName");
    const named = edited(objects.join("---\n"), [
      "- name: spiffe-helper\n",
      "- name: spiffe-helper\n          env: [{ name: HOOK, value: 'publish mesh-svid' }]\n",
    ]);
    const given = [
      ...readObjects(named, "a.yaml", "default"),
      ...readObjects(file, "/etc/helper.conf", "default"),
    ];
    expect(planOf(given, "").certificates).toHaveLength(1);
  });

  it.each([
    [
      "JWTs",
      'jwt_svids = [{jwt_audience="a", jwt_svid_file_name="t"}]',
      "jwt_svids: attaché publishes no JWT",
    ],
    [
      "JWT bundles",
      'jwt_bundle_file_name = "cert.jwt"',
      "jwt_bundle_file_name: attaché publishes no JWT bundle",
    ],
    [
      "trust in intermediates",
      "add_intermediates_to_bundle = true",
      "add_intermediates_to_bundle: attaché publishes intermediates with the leaf",
    ],
    ["an unknown key", "later = 1", "later: is unknown to attaché, and would be lost"],
    ["no HCL", "later = ", "a.yaml:9:3 data.helper.conf: line "],
  ])("refuses %s", (_, line, said) => {
    const text = edited(helper, [
      '    cmd_args = ""\n',
      `    ${line}\n${line.endsWith(" ") ? "    }\n" : ""}`,
    ]);
    expect(refusal(text).join("\n")).toContain(said);
  });

  it("refuses what is not all there", () => {
    expect(refusal(helper.split("---\n").slice(1).join("---\n")).join()).toContain(
      "runs spiffe-helper, and its configuration is not given",
    );
    expect(
      refusal(edited(helper, ["mountPath: /spiffe-workload-api", "mountPath: /other"])).join(),
    ).toContain("no volume of its pod has the agent's socket /spiffe-workload-api/spire-agent.sock");
    expect(refusal(edited(helper, ["  secret: mesh-svid\n", "  secret: another\n"])).join()).toContain(
      "is spiffe-helper, and no TLSContext names the file /certs/tls.crt, or a Secret that its hooks name",
    );
  });
});

describe("the plan for consul-template", () => {
  it("asks the same agent with the same token for the service of caLeaf", () => {
    expect(planFor(template).values).toEqual({
      meshes: { consul: { enabled: true, mode: "http" } },
      env: [
        { name: "HOST_IP", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
        { name: "CONSUL_HTTP_ADDR", value: "http://$(HOST_IP):8500" },
        { name: "CONSUL_HTTP_TOKEN", valueFrom: { secretKeyRef: { name: "edge-token", key: "token" } } },
      ],
      identities: [
        {
          name: "edge",
          spec: {
            consul: { service: "edge" },
            target: { adopt: true, tlsContext: { alpnProtocols: "http/1.1" } },
          },
        },
      ],
      emissary: [{}],
    });
  });

  it.each([
    [
      'consul {\n      address = "consul-server.consul.svc:8500"',
      { release: { name: "consul", namespace: "consul", tls: false } },
    ],
    [
      'consul {\n      address = "https://10.0.0.5:8501"\n      ssl {\n        ca_cert = "/certs/consul-ca.pem"\n        server_name = "server.dc1.consul"\n      }',
      {
        mode: "http",
        address: "https://10.0.0.5:8501",
        tls: { caFile: "/certs/consul-ca.pem", serverName: "server.dc1.consul" },
      },
    ],
  ])("asks where the configuration says: %j", (block, mesh) => {
    const { values } = planFor(edited(template, ["consul {", block]));
    expect(values["meshes"]).toEqual({ consul: { enabled: true, ...mesh } });
  });

  it("asks where its flag says", () => {
    const text = edited(template, ['"-config=/config/config.hcl"', '"-consul-addr=10.0.0.7:8500"']);
    expect(planFor(text).values["meshes"]).toMatchObject({ consul: { address: "http://10.0.0.7:8500" } });
  });

  it("makes an identity of each service, for the TLSContext that its own templates feed", () => {
    const second = `    template {
      contents    = "{{ with caLeaf \\"partner\\" }}{{ .CertPEM }}{{ .PrivateKeyPEM }}{{ end }}"
      destination = "/certs/partner.pem"
      command     = "publish partner-leaf"
    }
---
`;
    const context =
      "---\napiVersion: getambassador.io/v3alpha1\nkind: TLSContext\nmetadata: { name: partner, namespace: emissary }\nspec: { secret: partner-leaf }\n";
    const { certificates } = planFor(edited(template, ["---\n", second]) + context);
    expect(certificates).toMatchObject([
      { metadata: { name: "edge" }, spec: { consul: { service: "edge" } } },
      { metadata: { name: "partner" }, spec: { consul: { service: "partner" } } },
    ]);
  });

  it("is read from JSON, and from flags", () => {
    const hcl = parse(template.split("---\n")[0] ?? "") as { data: Record<string, string> };
    const json = {
      consul: { address: "10.0.0.9:8500" },
      template: [
        {
          contents: '{{ with caLeaf "edge" }}{{ end }}',
          destination: "/certs/tls.crt",
          command: "publish edge-leaf",
        },
      ],
    };
    const file = JSON.stringify(hcl.data["config.hcl"]);
    const configMap = (data: object) =>
      `${JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "consul-template", namespace: "emissary" }, data })}\n`;
    expect(file).toContain("caLeaf");
    const [, ...others] = template.split("---\n");
    const rest = others.join("---\n");
    const { values, certificates } = planFor(
      `${configMap({ "config.json": JSON.stringify(json) })}---\n${rest}`,
    );
    expect(values["meshes"]).toMatchObject({ consul: { address: "http://10.0.0.9:8500" } });
    expect(certificates).toEqual(planFor(template).certificates);
    const flagged = edited(rest, [
      '"-config=/config/config.hcl"',
      '"-template", "/config/leaf.ctmpl:/certs/tls.crt:publish edge-leaf"',
    ]);
    const leaf = configMap({ "leaf.ctmpl": '{{ with caLeaf "edge" }}{{ .CertPEM }}{{ end }}' });
    expect(planFor(`${leaf}---\n${flagged}`).certificates).toEqual(certificates);
  });

  it("reads a template of a file of its own", () => {
    const source = edited(
      template,
      [
        'contents    = "{{ with caLeaf \\"edge\\" }}{{ .PrivateKeyPEM }}{{ end }}"',
        'source = "/config/key.ctmpl"',
      ],
      ["\ndata:\n", "\ndata:\n  key.ctmpl: '{{ with caLeaf \"edge\" }}{{ .PrivateKeyPEM }}{{ end }}'\n"],
    );
    expect(planFor(source).certificates).toEqual(planFor(template).certificates);
  });

  it.each([
    [
      "a service whose name is computed",
      ['caLeaf \\"edge\\" }}{{ .C', 'caLeaf (env \\"NAME\\") }}{{ .C'],
      "caLeaf: the name of a service is computed: write it there",
    ],
    [
      "what else it renders",
      ["{{ range caRoots }}{{ .RootCertPEM }}{{ end }}", '{{ key "banner" }}'],
      "containers.0: also renders /certs/ca.pem, which would end with it",
    ],
    [
      "a template that is not given",
      [
        'contents    = "{{ with caLeaf \\"edge\\" }}{{ .PrivateKeyPEM }}{{ end }}"',
        'source = "/other/key.ctmpl"',
      ],
      "its template /other/key.ctmpl is not given: give it, too",
    ],
    [
      "a child process",
      ["consul {", 'exec { command = "/bin/server" }\n    consul {'],
      "exec: its child would end with it",
    ],
    [
      "a field of its TLS settings that has no counterpart",
      ["consul {", 'consul {\n      ssl { ca_cert_bytes = "x" }'],
      "consul.ssl.ca_cert_bytes: does not carry over",
    ],
    [
      "a token among its arguments",
      ['"-config=/config/config.hcl"', '"-config=/config/config.hcl", "-consul-token=6a5f"'],
      "-consul-token: does not carry over: set CONSUL_HTTP_TOKEN",
    ],
    [
      "variables from elsewhere",
      [
        "          volumeMounts:\n",
        "          envFrom: [{ secretRef: { name: consul } }]\n          volumeMounts:\n",
      ],
      "containers.0.envFrom: may set more variables: write them as `env`",
    ],
    [
      "variables that are no list",
      ["          env:\n", "          env: {}\n          others:\n"],
      "containers.0.env: is no list: write it as Kubernetes has it",
    ],
    [
      "an address outside of a block",
      ["consul {\n      retry { enabled = true }\n    }", 'consul = "10.1.1.1:8500"'],
      "consul, which is no block: does not carry over",
    ],
    [
      "a container without name",
      ["- name: consul-template\n          image", "- image"],
      "containers.0.name: is not a name that Kubernetes takes",
    ],
    [
      "a token in its configuration",
      ["consul {", 'consul {\n      token = "6a5f"'],
      "consul.token: does not carry over",
    ],
    [
      "an agent in its pod",
      ["$(HOST_IP):8500", "127.0.0.1:8500"],
      "asks a Consul agent in its own pod (127.0.0.1)",
    ],
    ["broken HCL", ["retry { enabled = true }", "retry {"], "data.config.hcl: line "],
  ] as const)("refuses %s", (_, edit, said) => {
    expect(refusal(edited(template, edit)).join("\n")).toContain(said);
  });

  it("passes over a consul-template without caLeaf", () => {
    expect(refusal(template.replaceAll("caLeaf", "key")).join()).toContain(
      "no set-up that `attache migrate` knows",
    );
  });
});
