import { apiVersion, kind, meshCertificate } from "../api/mesh-certificate.ts";
import { ambassadorIdsOf, fieldsOf } from "../emissary/fields.ts";
import type { Problem } from "../text/yaml/document-error.ts";
import { explain } from "../text/yaml/explain.ts";
import { type Fields, type Given, problemAt } from "./given.ts";

/** Fields of a TLSContext, and what they are called in a MeshCertificate. */
const carried: Readonly<Record<string, string>> = {
  ambassador_id: "ambassadorId",
  alpn_protocols: "alpnProtocols",
  sni: "sni",
  min_tls_version: "minTlsVersion",
  max_tls_version: "maxTlsVersion",
  cipher_suites: "cipherSuites",
  ecdh_curves: "ecdhCurves",
};

/** Those that attaché writes itself: where leaf and roots are. */
const replaced: ReadonlySet<string> = new Set([
  ...["secret", "ca_secret", "secret_namespacing"],
  ...["cert_chain_file", "private_key_file", "cacert_chain_file"],
]);

const remedies: Readonly<Record<string, string>> = {
  hosts:
    "presents the certificate to clients, and attaché publishes for upstreams: move it to a Host or TLSContext of its own",
  redirect_cleartext_from: "is for clients, and attaché publishes for upstreams: move it to a Host",
  cert_required: "is for clients; towards an upstream, Envoy refuses it: remove it",
  crl_secret:
    "names revocation lists that attaché does not know, and they would no longer be checked: remove it if that may be, or add `target.crlSecret` by hand where the mesh has lists",
};

/**
 * `target` of the MeshCertificate that takes over a TLSContext. What would be lost, or what attaché refuses, is
 * a problem at the field.
 * @param labels by which Emissary selects what it reads
 */
export function targetOf(given: Given, source: Fields, labels: Fields, problems: Problem[]): Fields {
  const spec = fieldsOf(given.object["spec"]);
  const written = Object.entries(spec).filter(([field, value]) => !isEmpty(value) && !replaced.has(field));
  for (const [field] of written.filter(([field]) => carried[field] === undefined)) {
    const because =
      remedies[field] ?? "is unknown to attaché, and would be lost: remove it, or keep this TLSContext";
    problems.push(problemAt(given, ["spec", field], because));
  }
  const kept = written.filter(([field]) => carried[field] !== undefined);
  const tlsContext = Object.fromEntries([
    // attaché has a default where the mesh needs one; this TLSContext has none.
    ...("istio" in source ? [["alpnProtocols", ""]] : []),
    ...kept.map(([field, value]) => [
      carried[field],
      field === "ambassador_id" ? ambassadorIdsOf(value) : value,
    ]),
  ]) as Fields;
  const target = {
    target: {
      adopt: true,
      ...(Object.keys(tlsContext).length > 0 && { tlsContext }),
      ...(Object.keys(labels).length > 0 && { labels }),
    },
  };
  const metadata = { name: given.name, namespace: given.namespace };
  const parsed = meshCertificate.safeParse(
    { apiVersion, kind, metadata, spec: { ...source, ...target } },
    { reportInput: true },
  );
  if (parsed.success) return target;
  for (const { path, message } of explain(parsed.error.issues, meshCertificate, () => "")) {
    const former = formerPath(path.split("."));
    problems.push(problemAt(given, former, `attaché does not take it: ${message}`));
  }
  return target;
}

/** Emissary's own defaults are written out by some tools. */
function isEmpty(value: unknown): boolean {
  return (
    value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0)
  );
}

/** Of `spec.target.tlsContext.ambassadorId.0`: `spec.ambassador_id.0`. */
function formerPath([, , , field, ...rest]: readonly string[]): readonly PropertyKey[] {
  const former = Object.keys(carried).find((one) => carried[one] === field);
  return former === undefined
    ? ["spec"]
    : ["spec", former, ...rest.map((one) => (/^\d+$/.test(one) ? Number(one) : one))];
}
