import { MeshError } from "../../src/mesh/adapter.ts";
import { peerText } from "../../src/mesh/peer-text.ts";
import {
  type DataSource,
  type DiscoveryResponse,
  type Secret,
  secret,
  secretTypeUrl,
} from "./sds-messages.ts";

/** What the Istio agent calls a workload's certificate and its trust bundle (security/pkg/nodeagent). */
export const workloadName = "default";
export const bundleName = "ROOTCA";

/** Key and chain of the workload, in PEM. @throws MeshError when the answer holds no such thing. */
export function readWorkload(answer: DiscoveryResponse): { readonly key: Buffer; readonly chain: Buffer } {
  const { tlsCertificate } = readSecret(answer, workloadName);
  if (tlsCertificate === null) throw malformed(`the secret ${workloadName} is no TLS certificate`);
  const chain = inline(tlsCertificate.certificateChain, `${workloadName}.certificate_chain`);
  const key = inline(tlsCertificate.privateKey, `${workloadName}.private_key`);
  if (key.length === 0) throw keyWithheld(tlsCertificate.privateKeyProvider?.providerName);
  return { key, chain };
}

/** The trust bundle, in PEM. @throws MeshError when the answer holds no such thing. */
export function readBundle(answer: DiscoveryResponse): Buffer {
  const { validationContext } = readSecret(answer, bundleName);
  if (validationContext === null) throw malformed(`the secret ${bundleName} is no validation context`);
  const { trustedCa, customValidatorConfig } = validationContext;
  if (trustedCa === null && customValidatorConfig !== null)
    throw validatorInstead(customValidatorConfig.name);
  return inline(trustedCa, `${bundleName}.trusted_ca`);
}

/** As Envoy demands it: one resource, of the type and the name that were asked for. */
function readSecret(answer: DiscoveryResponse, name: string): Secret {
  const [resource, ...others] = answer.resources;
  if (resource === undefined) throw malformed(`the answer for ${name} holds no secret`);
  if (others.length > 0)
    throw malformed(`the answer for ${name} holds ${1 + others.length} secrets instead of one`);
  for (const typeUrl of [answer.typeUrl, resource.typeUrl]) {
    if (typeUrl !== secretTypeUrl)
      throw malformed(`the answer for ${name} is of type "${peerText(typeUrl)}"`);
  }
  const found = decode(resource.value, name);
  if (found.name !== name) throw malformed(`the answer for ${name} is the secret "${peerText(found.name)}"`);
  return found;
}

function decode(bytes: Buffer, name: string): Secret {
  try {
    return secret.decode(bytes);
  } catch (cause) {
    throw malformed(`the answer for ${name} is no secret`, cause);
  }
}

function inline(source: DataSource | null, field: string): Buffer {
  if (source?.filename !== undefined || source?.environmentVariable !== undefined) {
    throw malformed(`${field} names a file or a variable of the agent instead of holding the bytes`);
  }
  return source?.inlineBytes ?? Buffer.from(source?.inlineString ?? "");
}

function malformed(problem: string, cause?: unknown): MeshError {
  return new MeshError("ATTACHE_MESH_MALFORMED", problem, cause === undefined ? {} : { cause });
}

function keyWithheld(provider: string | undefined): MeshError {
  const holder = provider === undefined ? "" : ` (private key provider "${peerText(provider)}")`;
  return new MeshError("ATTACHE_MESH_MALFORMED", `the agent keeps the private key to itself${holder}`, {
    remedy:
      "Emissary needs the key: switch the private key provider off for attaché's pod (annotation proxy.istio.io/config, privateKeyProvider).",
  });
}

function validatorInstead(name: string): MeshError {
  return new MeshError(
    "ATTACHE_MESH_MALFORMED",
    `the trust bundle comes as the validator "${peerText(name)}" and not as certificates: this is not the Istio agent`,
    {
      remedy:
        "A SPIRE agent owns the socket: let it send plain bundles (sds.disable_spiffe_cert_validation).",
    },
  );
}
