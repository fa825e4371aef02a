import { z } from "zod";
import { definitions } from "../registry/registry.ts";
import { dnsLabel, dnsSubdomain, isLabelKey, labelValue } from "./names.ts";
import { annotationRule, maxAnnotations, specRules } from "./rules.ts";

const tlsContext = z.strictObject({
  name: dnsSubdomain.optional().describe("Name of the TLSContext. Default: the name of the MeshCertificate."),
  ambassadorId: z
    .array(z.string().min(1))
    .min(1)
    .default(["default"])
    .describe("The Emissary installations that use the TLSContext."),
  alpnProtocols: z
    .string()
    .optional()
    .describe("ALPN protocols, separated by commas. Default: those that the workloads of the mesh need."),
  sni: z
    .string()
    .optional()
    .describe("The server name (SNI) that Emissary sends to the upstream. Default: none."),
  minTlsVersion: z
    .enum(["v1.0", "v1.1", "v1.2", "v1.3"])
    .optional()
    .describe("The minimum TLS version that Emissary offers the upstream. Default: Envoy's."),
  annotations: z
    .record(z.string(), z.string())
    .refine(annotationRule.holds, { error: annotationRule.message })
    .refine((all) => Object.keys(all).length <= maxAnnotations, {
      error: `must have at most ${maxAnnotations} entries`,
    })
    .meta({
      maxProperties: maxAnnotations,
      "x-kubernetes-validations": [{ rule: annotationRule.cel, message: annotationRule.message }],
    })
    .optional()
    .describe(
      "Annotations for the TLSContext. The Secrets do not get them, because some controllers copy a Secret to other namespaces if it has a certain annotation.",
    ),
});

const target = z.strictObject({
  secret: dnsSubdomain
    .optional()
    .describe("Name of the leaf Secret, of type kubernetes.io/tls. Default: NAME-mesh-cert."),
  caSecret: dnsSubdomain
    .optional()
    .describe("Name of the CA Secret, of type Opaque, with all roots in tls.crt. Default: NAME-mesh-ca."),
  tlsContext: tlsContext.prefault({}).describe("The TLSContext that Mappings name in `tls:`."),
  adopt: z
    .boolean()
    .default(false)
    .describe(
      "Whether attaché takes over existing objects with these names. If false, it reports them and leaves them alone.",
    ),
  labels: z
    .record(z.string(), labelValue)
    .superRefine((labels, context) => {
      for (const key of Object.keys(labels)) {
        if (isLabelKey(key)) continue;
        const message = 'is not a label key: write NAME or DOMAIN/NAME, e.g. "example.com/team"';
        context.addIssue({ code: "custom", path: [key], message });
      }
    })
    .default({})
    .describe("Labels for all published objects, for AMBASSADOR_LABEL_SELECTOR."),
});

const fields = z.strictObject({
  mesh: dnsLabel
    .optional()
    .describe("Name of a configured mesh. Default: the name of the source (`consul`, `istio`, `spiffe`)."),
  installation: dnsLabel
    .optional()
    .describe(
      "The installation of attaché that handles the identity. Default: the one that has its mesh configured.",
    ),
  consul: definitions.consul.identity.optional().describe("The identity of a Consul service."),
  istio: definitions.istio.identity
    .optional()
    .describe("The identity of a Kubernetes ServiceAccount, from Istio."),
  spiffe: definitions.spiffe.identity
    .optional()
    .describe("The identity of a SPIFFE workload, from SPIRE or another implementation."),
  plugin: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("The identity, in the schema of the plug-in. Requires `mesh`."),
  target: target
    .prefault({})
    .describe(
      "The published objects: two Secrets and a TLSContext, in the namespace of the MeshCertificate.",
    ),
});

export const spec = specRules
  .reduce<typeof fields>((schema, { holds, message }) => schema.refine(holds, { error: message }), fields)
  .describe(
    "Exactly one of consul, istio, spiffe and plugin selects the identity. All other fields have defaults.",
  )
  .meta({ "x-kubernetes-validations": specRules.map(({ cel, message }) => ({ rule: cel, message })) });
