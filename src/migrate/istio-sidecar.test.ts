import { describe, expect, it } from "vitest";
import { edited, manifests, planFor, refusal } from "../../test/fixtures/migration.ts";

const sidecar = await manifests("istio-sidecar");
const metadata = "            OUTPUT_CERTS: /etc/istio-certs\n";
const untouched = '        traffic.sidecar.istio.io/includeOutboundIPRanges: ""\n';

describe("the plan for Emissary with an Istio sidecar", () => {
  it("asks istiod for the identity of Emissary's ServiceAccount, with the ALPN of the former TLSContext", () => {
    expect(planFor(sidecar).values).toEqual({
      meshes: { istio: { enabled: true } },
      identities: [
        {
          name: "istio-upstream",
          spec: {
            istio: { serviceAccount: "emissary-ingress" },
            target: { adopt: true, tlsContext: { alpnProtocols: "istio" } },
          },
        },
      ],
      emissary: [{}],
    });
  });

  it("reads the identity from the sidecar's files, and takes the sidecar from Emissary last", () => {
    const { steps } = planFor(sidecar);
    expect(steps[1]?.run[0]).toContain(
      "kubectl exec deployment/emissary-ingress -n emissary -c emissary-ingress -- cat /etc/istio-certs/cert-chain.pem",
    );
    expect(steps).toHaveLength(5);
    expect(steps.flatMap(({ run }) => run).join("\n")).not.toContain("delete secret");
    expect(steps[4]?.run[0]).toContain('"sidecar.istio.io/inject":"false"');
    expect(steps[4]?.back[0]).toBe("kubectl rollout undo deployment emissary-ingress -n emissary");
  });

  it("has no ALPN where the former TLSContext has none, in place of attaché's default", () => {
    const text = edited(sidecar, ["  alpn_protocols: istio # This is required for Istio.\n", ""]);
    expect(planFor(text).certificates).toMatchObject([
      { spec: { target: { tlsContext: { alpnProtocols: "" } } } },
    ]);
  });

  it("carries over the revision and what the agent is configured with", () => {
    const more = ["ISTIO_META_CLUSTER_ID: east", "TRUST_DOMAIN: mesh.example", "SECRET_TTL: 12h", "OTHER: x"];
    const text = edited(
      sidecar,
      [metadata, `${metadata}${more.map((line) => `            ${line}\n`).join("")}`],
      [
        "labels: { service: emissary-ingress }\n      ann",
        "labels: { service: emissary-ingress, istio.io/rev: canary }\n      ann",
      ],
    );
    expect(planFor(text).values["meshes"]).toEqual({
      istio: {
        enabled: true,
        address: "istiod-canary.istio-system.svc:15012",
        clusterId: "east",
        trustDomain: "mesh.example",
        ttl: "12h",
      },
    });
  });

  it.each([
    [
      "CA_ADDR: ca.example:15012",
      "          discoveryAddress: istiod-x.istio-system.svc:15012\n",
      "ca.example:15012",
    ],
    [
      "OTHER: x",
      "          discoveryAddress: istiod-x.istio-system.svc:15012\n",
      "istiod-x.istio-system.svc:15012",
    ],
  ])("asks where the agent asks: %s", (variable, line, address) => {
    const text = edited(sidecar, [
      "          proxyMetadata:\n",
      `${line}          proxyMetadata:\n            ${variable}\n`,
    ]);
    expect(planFor(text).values["meshes"]).toEqual({ istio: { enabled: true, address } });
  });

  it("knows the former name of the field for the ServiceAccount, and takes a number as text", () => {
    const text = edited(
      sidecar,
      ["serviceAccountName:", "serviceAccount:"],
      [
        metadata,
        `${metadata}            ISTIO_META_CLUSTER_ID: 1\n            ISTIOD_SAN: istiod.example\n            CA_PROVIDER: Citadel\n`,
      ],
    );
    const { values } = planFor(text);
    expect(values["meshes"]).toMatchObject({ istio: { clusterId: "1", serverName: "istiod.example" } });
    expect(values["identities"]).toMatchObject([{ spec: { istio: { serviceAccount: "emissary-ingress" } } }]);
  });

  it("knows the TLSContext that names the files, as before Emissary made a Secret of them", () => {
    const files = ["cert_chain_file: cert-chain", "private_key_file: key", "cacert_chain_file: root-cert"];
    const lines = files.map((one) => `  ${one.replace(": ", ": /etc/istio-certs/")}.pem\n`).join("");
    const text = edited(sidecar, [
      "  secret: istio-certs # This Secret name cannot currently be changed.\n",
      lines,
    ]);
    expect(planFor(text).certificates).toHaveLength(1);
  });
});

describe("a migration from an Istio sidecar is refused", () => {
  const plain = `---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: { name: plain, namespace: emissary }
spec: { hostname: "*", prefix: /plain/, service: plain }
`;

  it("if the sidecar encrypts requests that would be plaintext without it", () => {
    const text = edited(sidecar, [untouched, ""]) + plain;
    expect(refusal(text).join()).toMatch(
      /^a.yaml:\d+:\d+ spec.service: has no `tls`, and Emissary's sidecar may encrypt/,
    );
    expect(refusal(sidecar + plain)).toEqual([]);
    const none = edited(sidecar, [untouched, "        sidecar.istio.io/interceptionMode: NONE\n"]);
    expect(refusal(none + plain)).toEqual([]);
    for (const own of ["service: https://plain", "service: plain, tls: true"])
      expect(refusal(edited(text, ["service: plain ", `${own} `]))).toEqual([]);
  });

  it.each([
    [
      "the annotation is broken",
      edited(sidecar, ["          proxyMetadata:\n", "          proxyMetadata: [\n"]),
      "proxy.istio.io/config: is not YAML: ",
    ],
    [
      "the folder of the certificates does not stand there",
      edited(sidecar, ["value: /etc/istio-certs }", "value: $(DIR) }"]),
      "env.2: has a value that does not stand here: write it as `value`",
    ],
    [
      "the annotation is no map",
      edited(sidecar, [
        "          proxyMetadata:\n            OUTPUT_CERTS: /etc/istio-certs\n",
        "          - OUTPUT_CERTS\n",
      ]),
      "proxy.istio.io/config: is no map in YAML: write it as Istio's ProxyConfig has it",
    ],
    [
      "what the agent is configured with is no map",
      edited(sidecar, ["          proxyMetadata:\n            OUTPUT_CERTS:", "          proxyMetadata:"]),
      "proxy.istio.io/config: has a proxyMetadata that is no map",
    ],
    [
      "the agent has another source than istiod",
      edited(sidecar, [metadata, `${metadata}            CA_PROVIDER: GoogleCAS\n`]),
      "proxyMetadata.CA_PROVIDER: the agent gets its certificates in a way that attaché does not: remove it first",
    ],
    [
      "istio-certs is named in a namespace where Emissary has none",
      edited(sidecar, [
        "  name: istio-upstream\n  namespace: emissary",
        "  name: istio-upstream\n  namespace: shop",
      ]),
      "and no TLSContext names the Secret istio-certs or a file in /etc/istio-certs",
    ],
  ])("if %s", (_, text, said) => {
    expect(refusal(text).join()).toContain(said);
  });
});
