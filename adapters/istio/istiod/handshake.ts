import { connect, type TLSSocket } from "node:tls";
import { type Certificate, type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import { isTlsCode } from "../../../src/text/tls.ts";
import type { Endpoint } from "./endpoint.ts";

const withinMs = 10_000;

/**
 * Shakes hands with istiod as the channel does, and says why that fails: gRPC only says that it does. Resolves with
 * `undefined` when all is well; rejects with the signal's reason on its abort.
 */
export async function tryHandshake(
  endpoint: Endpoint,
  roots: readonly Certificate[],
  clock: Clock,
  signal: AbortSignal,
): Promise<MeshError | undefined> {
  const over = new AbortController();
  const { promise, resolve } = Promise.withResolvers<MeshError | undefined>();
  const socket = connect({
    host: endpoint.host,
    port: endpoint.port,
    servername: endpoint.serverName,
    ca: roots.map((root) => root.toPem()),
    ALPNProtocols: ["h2"],
  });
  socket.once("secureConnect", () => resolve(protocolProblem(socket, endpoint)));
  socket.on("error", (error: Error) => resolve(problemOf(error, endpoint)));
  const limit = clock.sleep(withinMs, AbortSignal.any([signal, over.signal]));
  try {
    return await Promise.race([promise, limit.then(() => silent(endpoint))]);
  } finally {
    over.abort();
    limit.catch(() => undefined);
    socket.destroy();
  }
}

function protocolProblem({ alpnProtocol }: TLSSocket, { address }: Endpoint): MeshError | undefined {
  if (alpnProtocol === "h2") return undefined;
  return new MeshError("ATTACHE_MESH_MALFORMED", `what listens on ${address} does not speak gRPC`, {
    remedy: "Check `address`: istiod's CA has port 15012.",
  });
}

function silent({ address }: Endpoint): MeshError {
  return new MeshError("ATTACHE_MESH_UNREACHABLE", `${address} did not answer in ${withinMs / 1000} s`, {
    remedy: "Check `address`, the network in between (NetworkPolicies), and that istiod runs.",
  });
}

function problemOf(error: Error, endpoint: Endpoint): MeshError {
  const code = "code" in error ? String(error.code) : "unknown error";
  if (!isTlsCode(code)) {
    return new MeshError("ATTACHE_MESH_UNREACHABLE", `${endpoint.address} cannot be reached (${code})`, {
      remedy: reachRemedy(code),
      cause: error,
    });
  }
  const problem = `the TLS handshake with ${endpoint.address} fails (${code})`;
  return new MeshError("ATTACHE_MESH_TLS", problem, {
    remedy: tlsRemedy(code, error, endpoint),
    cause: error,
  });
}

function reachRemedy(code: string): string {
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "Check the host in `address`, and the DNS. A revision of istiod has a Service of its own: istiod-REVISION.istio-system.svc.";
    default:
      return "Check `address` (istiod's CA has port 15012), the network in between, and that istiod runs.";
  }
}

function tlsRemedy(code: string, error: Error, { serverName }: Endpoint): string {
  switch (code) {
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `istiod's certificate is not for ${serverName}${namesIn(error)}: set \`serverName\` to a name that it is for.`;
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return "Compare the clocks of this machine and of istiod; if they agree, restart istiod, which then makes a new certificate.";
    case "EPROTO":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return "The port may be that of plain text (15010), on which istiod signs nothing: use 15012.";
    default:
      return "The roots under `roots` have not signed istiod's certificate: check that they are those of this istiod. After a change of its root, istiod writes the new one itself within a minute.";
  }
}

/** What Node found in the certificate, in its words: "DNS:istiod.istio-system.svc, …". */
function namesIn(error: Error): string {
  if (!("cert" in error) || typeof error.cert !== "object" || error.cert === null) return "";
  const { cert } = error;
  return "subjectaltname" in cert && typeof cert.subjectaltname === "string"
    ? ` but for ${sanitizePeerText(cert.subjectaltname)}`
    : "";
}
