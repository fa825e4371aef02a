import { z } from "zod";
import { definitions } from "../registry/registry.ts";
import { characters } from "../text/characters.ts";
import { dnsLabel, dnsSubdomain, labelValue } from "./names.ts";
import {
  annotationRule,
  isMetadataKey,
  labelRule,
  maxAnnotations,
  maxLabels,
  specRules,
  tlsVersionsRule,
} from "./rules.ts";

export const tlsVersions = ["v1.0", "v1.1", "v1.2", "v1.3"] as const;
const tlsVersion = z.enum(tlsVersions);

/**
 * What Envoy 1.38 knows, as its BoringSSL calls them; an unknown one makes it refuse the whole configuration.
 */
export const ecdhCurves = ["X25519", "P-256", "P-384", "P-521", "X25519MLKEM768"] as const;
export const cipherSuites = [
  ...["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
  ...["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
  ...["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
  ...["ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA"],
  ...["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA"],
] as const;

/** One to 255 printable bytes each, as TLS has them (RFC 7301); Envoy aborts at an empty one. */
const alpnProtocol = " *[!-+\\--~]{1,255} *";

const tlsContext = z
  .strictObject({
    name: dnsSubdomain
      .optional()
      .describe("Name of the TLSContext. Default: the name of the MeshCertificate."),
    ambassadorId: z
      .array(
        z
          .string()
          .max(253)
          .regex(/^[ -~]+$/, "must be printable ASCII"),
      )
      .min(1)
      .max(64)
      .default(["default"])
      .describe("The Emissary installations that use the TLSContext."),
    alpnProtocols: z
      .string()
      .max(4096)
      .regex(
        new RegExp(`^(${alpnProtocol}(,${alpnProtocol})*)?$`),
        'must be names of 1 to 255 characters with commas between them, none empty, e.g. "h2,http/1.1"',
      )
      .optional()
      .describe("ALPN protocols, separated by commas. Default: those that the workloads of the mesh need."),
    sni: z
      .string()
      .max(253)
      .regex(
        /^([A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?([.][A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*)?$/,
        'must be a host name, e.g. "web.example.org"',
      )
      .optional()
      .describe("The server name (SNI) that Emissary sends to the upstream. Default: none."),
    minTlsVersion: tlsVersion
      .optional()
      .describe("The minimum TLS version that Emissary offers the upstream. Default: Envoy's."),
    maxTlsVersion: tlsVersion
      .optional()
      .describe("The maximum TLS version that Emissary offers the upstream. Default: Envoy's."),
    cipherSuites: z
      .array(z.enum(cipherSuites))
      .min(1)
      .max(cipherSuites.length)
      .optional()
      .describe("The cipher suites that Emissary offers up to TLS 1.2, in this order. Default: Envoy's."),
    ecdhCurves: z
      .array(z.enum(ecdhCurves))
      .min(1)
      .max(ecdhCurves.length)
      .optional()
      .describe(
        "The curves that Emissary offers for the key exchange, in this order. Upstreams with keys on P-384 or P-521 need theirs here. Default: Envoy's.",
      ),
    annotations: z
      .record(z.string(), characters(1024))
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
  })
  .refine(tlsVersionsRule.holds, { error: tlsVersionsRule.message })
  .meta({ "x-kubernetes-validations": [{ rule: tlsVersionsRule.cel, message: tlsVersionsRule.message }] });

const target = z.strictObject({
  secret: dnsSubdomain
    .optional()
    .describe("Name of the leaf Secret, of type kubernetes.io/tls. Default: NAME-mesh-cert."),
  caSecret: dnsSubdomain
    .optional()
    .describe("Name of the CA Secret, of type Opaque, with all roots in tls.crt. Default: NAME-mesh-ca."),
  crlSecret: dnsSubdomain
    .optional()
    .describe(
      "Name of a Secret, of type Opaque, with the revocation lists of the mesh in crl.pem. The TLSContext names it while each CA has a current list, see the condition RevocationChecked. Default: none, and Emissary does not check revocation.",
    ),
  tlsContext: tlsContext.prefault({}).describe("The TLSContext that Mappings name in `tls:`."),
  adopt: z
    .boolean()
    .default(false)
    .describe(
      "Whether attaché takes over existing objects with these names. They keep what attaché has no field for, and are given back at the end, not deleted. If false, attaché reports them and leaves them alone.",
    ),
  labels: z
    .record(z.string(), labelValue)
    .superRefine((labels, context) => {
      for (const key of Object.keys(labels)) {
        if (!isMetadataKey(key))
          context.addIssue({ code: "custom", path: [key], message: labelRule.message });
      }
    })
    .refine((all) => Object.keys(all).length <= maxLabels, {
      error: `must have at most ${maxLabels} entries`,
    })
    .meta({
      maxProperties: maxLabels,
      "x-kubernetes-validations": [{ rule: labelRule.cel, message: labelRule.message }],
    })
    .default({})
    .describe("Labels for all published objects, for AMBASSADOR_LABEL_SELECTOR."),
});

const maxPluginFields = 64;

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
  // How long and deep it is has a limit of its own, see size.ts.
  plugin: z
    .record(z.string(), z.unknown())
    .refine((all) => Object.keys(all).length <= maxPluginFields, {
      error: `must have at most ${maxPluginFields} entries`,
    })
    .meta({ maxProperties: maxPluginFields })
    .optional()
    .describe("The identity, in the schema of the plug-in. Requires `mesh`."),
  target: target
    .prefault({})
    .describe("The published objects: Secrets and a TLSContext, in the namespace of the MeshCertificate."),
});

export const spec = specRules
  .reduce<typeof fields>((schema, { holds, message }) => schema.refine(holds, { error: message }), fields)
  .describe(
    "Exactly one of consul, istio, spiffe and plugin selects the identity. All other fields have defaults.",
  )
  .meta({ "x-kubernetes-validations": specRules.map(({ cel, message }) => ({ rule: cel, message })) });
