import { z } from "zod";
import { definitions } from "../registry/registry.ts";
import { dnsLabel, dnsSubdomain, isLabelKey, labelValue } from "./names.ts";
import { annotationRule, maxAnnotations, specRules } from "./rules.ts";

const tlsContext = z.strictObject({
  name: dnsSubdomain.optional().describe("Name of the TLSContext; by default that of the MeshCertificate."),
  ambassadorId: z
    .array(z.string().min(1))
    .min(1)
    .default(["default"])
    .describe("The Emissary installations that shall see the TLSContext."),
  alpnProtocols: z
    .string()
    .optional()
    .describe("Comma-separated; by default what the mesh's workloads need."),
  sni: z.string().optional().describe("Sent to the upstream; none by default."),
  minTlsVersion: z
    .enum(["v1.0", "v1.1", "v1.2", "v1.3"])
    .optional()
    .describe("The least that Emissary offers the upstream; by default what Envoy does."),
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
      "Copied to the TLSContext, and not to the Secrets: there are controllers that copy a Secret about when an annotation of it says so.",
    ),
});

const target = z.strictObject({
  secret: dnsSubdomain
    .optional()
    .describe("Name of the leaf Secret, type kubernetes.io/tls; by default NAME-mesh-cert."),
  caSecret: dnsSubdomain
    .optional()
    .describe("Name of the CA Secret, type Opaque, all roots in tls.crt; by default NAME-mesh-ca."),
  tlsContext: tlsContext.prefault({}).describe("The TLSContext that Mappings name in `tls:`."),
  adopt: z
    .boolean()
    .default(false)
    .describe(
      "Whether existing objects of these names are taken over, whoever made them; else they are refused.",
    ),
  labels: z
    .record(z.string(), labelValue)
    .superRefine((labels, context) => {
      for (const key of Object.keys(labels)) {
        if (isLabelKey(key)) continue;
        const message = 'is no key of a label: write NAME or DOMAIN/NAME, e.g. "example.com/team"';
        context.addIssue({ code: "custom", path: [key], message });
      }
    })
    .default({})
    .describe("Copied to all that is published, for AMBASSADOR_LABEL_SELECTOR."),
});

const fields = z.strictObject({
  mesh: dnsLabel
    .optional()
    .describe("Name of a configured mesh; by default the name of the source (`consul`, `istio`, `spiffe`)."),
  installation: dnsLabel
    .optional()
    .describe(
      "Which attaché of several takes the identity; by default the one that has its mesh configured.",
    ),
  consul: definitions.consul.identity.optional().describe("An identity of a Consul service."),
  istio: definitions.istio.identity
    .optional()
    .describe("An identity of a Kubernetes ServiceAccount, of Istio."),
  spiffe: definitions.spiffe.identity
    .optional()
    .describe("An identity of a SPIFFE workload, of SPIRE or another."),
  plugin: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("What the plug-in's own schema wants to know of the identity; needs `mesh`."),
  target: target
    .prefault({})
    .describe(
      "What is published, always in the MeshCertificate's own namespace: two Secrets and a TLSContext.",
    ),
});

export const spec = specRules
  .reduce<typeof fields>((schema, { holds, message }) => schema.refine(holds, { error: message }), fields)
  .describe(
    "Exactly one of consul, istio, spiffe and plugin says which identity is wanted; the rest has defaults.",
  )
  .meta({ "x-kubernetes-validations": specRules.map(({ cel, message }) => ({ rule: cel, message })) });
