import { MeshError } from "../../../src/mesh/adapter.ts";
import { readingInSlices } from "../../../src/mesh/kit/errors.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import { parseCrls } from "../../../src/credentials/crl.ts";
import type { Codec } from "../../../src/mesh/kit/protocol.ts";
import { type AgentParts, readBundle, readWorkload } from "../parts.ts";
import {
  type DataSource,
  type DiscoveryResponse,
  type Secret,
  secret,
  spiffeCertValidatorConfig,
  type TypedExtensionConfig,
} from "../proto/sds.pb.ts";

const typesPrefix = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.";

/** The `type_url` of SDS requests, responses and of the resources in them. */
export const secretTypeUrl = `${typesPrefix}Secret`;

/** What the Istio agent calls a workload's certificate and its trust bundle (security/pkg/nodeagent). */
export const workloadName = "default";
export const bundleName = "ROOTCA";

export const partNames = [workloadName, bundleName] as const;
export type PartName = (typeof partNames)[number];

/** @throws MeshError when the answer cannot be used as that part. */
export async function readPart(name: PartName, answer: DiscoveryResponse, now: Date): Promise<AgentParts> {
  return readingInSlices(`the secret ${name}`, async () =>
    name === workloadName
      ? { workload: await readWorkload(workloadIn(answer), now) }
      : { ...(await readBundle(bundleIn(answer))), ...crlsIn(answer) },
  );
}

/** Key and chain of the workload, in PEM. @throws MeshError when the answer holds no such thing. */
function workloadIn(answer: DiscoveryResponse): { readonly key: Buffer; readonly chain: Buffer } {
  const { tlsCertificate } = readSecret(answer, workloadName);
  if (tlsCertificate === null) throw malformed(`the secret ${workloadName} is no TLS certificate`);
  const chain = inline(tlsCertificate.certificateChain, `${workloadName}.certificate_chain`);
  const key = inline(tlsCertificate.privateKey, `${workloadName}.private_key`);
  if (key.length === 0) throw keyWithheld(tlsCertificate.privateKeyProvider?.providerName);
  return { key, chain };
}

/** The trust bundle, in PEM. @throws MeshError when the answer holds no such thing. */
function bundleIn(answer: DiscoveryResponse): Buffer {
  const { validationContext } = readSecret(answer, bundleName);
  if (validationContext === null) throw malformed(`the secret ${bundleName} is no validation context`);
  const { trustedCa, customValidatorConfig } = validationContext;
  if (trustedCa === null && customValidatorConfig !== null) return readValidator(customValidatorConfig);
  return inline(trustedCa, `${bundleName}.trusted_ca`);
}

/**
 * The revocation lists; nothing if they stand in {@link crlFile}. What cannot be read of them does not refuse the roots
 * that came with them.
 */
function crlsIn(answer: DiscoveryResponse): Pick<AgentParts, "crls"> {
  const { filename, environmentVariable, ...source } =
    readSecret(answer, bundleName).validationContext?.crl ?? {};
  if (filename === crlFile) return {};
  if ((filename ?? environmentVariable) === undefined) {
    return { crls: parseCrls(source.inlineBytes ?? source.inlineString ?? "") };
  }
  const problem = `${bundleName}.crl names a file or a variable of the agent that attaché does not read.`;
  return { crls: { lists: [], problems: [problem] } };
}

/** Where the Istio agent has the lists of a plugged-in CA, and lets Envoy read them (pkg/security). */
export const crlFile = "/var/run/secrets/istio/crl/ca-crl.pem";

/** Whether the agent leaves it to its client to read the lists in {@link crlFile}. */
export function namesCrlFile({ bundle, crls }: AgentParts): boolean {
  return bundle !== undefined && crls === undefined;
}

/** The form in which a SPIRE agent sends the bundle if it ignores the request for a plain one. */
function readValidator({ name, typedConfig }: TypedExtensionConfig): Buffer {
  if (typedConfig?.typeUrl !== `${typesPrefix}SPIFFECertValidatorConfig`) throw validatorInstead(name);
  const { trustDomains } = decode(spiffeCertValidatorConfig, typedConfig.value, bundleName);
  const [own, ...others] = trustDomains;
  // To take the roots of all would let each of them vouch for names of the others.
  if (own === undefined || others.length > 0) {
    throw malformed(`the trust bundle is for ${trustDomains.length} trust domains instead of one`);
  }
  return inline(own.trustBundle, `${bundleName}.trust_bundle`);
}

/** As Envoy demands it: one resource, of the type and the name that were asked for. */
function readSecret(answer: DiscoveryResponse, name: string): Secret {
  const [resource, ...others] = answer.resources;
  if (resource === undefined) throw malformed(`the answer for ${name} holds no secret`);
  if (others.length > 0)
    throw malformed(`the answer for ${name} holds ${1 + others.length} secrets instead of one`);
  for (const typeUrl of [answer.typeUrl, resource.typeUrl]) {
    if (typeUrl !== secretTypeUrl)
      throw malformed(`the answer for ${name} is of type "${sanitizePeerText(typeUrl)}"`);
  }
  const found = decode(secret, resource.value, name);
  if (found.name !== name)
    throw malformed(`the answer for ${name} is the secret "${sanitizePeerText(found.name)}"`);
  return found;
}

function decode<T>(codec: Codec<T>, bytes: Buffer, name: string): T {
  try {
    return codec.decode(bytes);
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
  const holder = provider === undefined ? "" : ` (private key provider "${sanitizePeerText(provider)}")`;
  return new MeshError("ATTACHE_MESH_MALFORMED", `the agent keeps the private key to itself${holder}`, {
    remedy:
      "Emissary needs the key: switch the private key provider off for attaché's pod (annotation proxy.istio.io/config, privateKeyProvider).",
  });
}

function validatorInstead(name: string): MeshError {
  return new MeshError(
    "ATTACHE_MESH_MALFORMED",
    `the trust bundle comes as the validator "${sanitizePeerText(name)}" and not as certificates: this is not the Istio agent`,
    {
      remedy: "Check who owns the socket; attaché knows the Istio agent and the SPIRE agent.",
    },
  );
}
