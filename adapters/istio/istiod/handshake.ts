import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { type Certificate, type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { addressText, readAddress } from "../../../src/mesh/kit/address.ts";
import { connectionError } from "../../../src/mesh/kit/connection-errors.ts";
import { probeGrpc } from "../../../src/mesh/kit/grpc/probe.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import { defaultServerName } from "../definition.ts";

/** Where istiod's CA listens, and the name that its certificate must carry. */
export interface IstiodEndpoint {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  /** As an operator would write it. */
  readonly address: string;
}

/** @param address `HOST:PORT`, as the settings have it. */
export function endpointOf(address: string, serverName?: string): IstiodEndpoint {
  const { host = "", port = 0 } = readAddress(address) ?? {};
  return { host, port, serverName: serverName ?? usualName(host), address: addressText({ host, port }) };
}

/** As of a port that `kubectl port-forward` has opened: no certificate of istiod's is for such a name. */
function usualName(host: string): string {
  return isIP(host) !== 0 || host === "localhost" ? defaultServerName : host;
}

const withinMs = 10_000;

/**
 * Connects to istiod as the channel does, and says why that fails; `undefined` when all is well. Rejects with
 * the signal's reason on its abort.
 */
export function tryHandshake(
  endpoint: IstiodEndpoint,
  roots: readonly Certificate[],
  clock: Clock,
  signal: AbortSignal,
): Promise<MeshError | undefined> {
  return probeGrpc({
    address: endpoint,
    verification: {
      context: createSecureContext({ ca: roots.map((root) => root.toPem()) }),
      name: endpoint.serverName,
      isVerified: true,
    },
    withinMs,
    clock,
    signal,
    silent: () => silent(endpoint),
    somethingElse: () => somethingElse(endpoint),
    failed: (error) => problemOf(error, endpoint),
  });
}

function somethingElse({ address }: IstiodEndpoint): MeshError {
  return new MeshError("ATTACHE_MESH_MALFORMED", `what listens on ${address} does not speak gRPC`, {
    remedy: "Check `address`: istiod's CA has port 15012.",
  });
}

function silent({ address }: IstiodEndpoint): MeshError {
  return new MeshError("ATTACHE_MESH_UNREACHABLE", `${address} did not answer in ${withinMs / 1000} s`, {
    remedy: "Check `address`, the network in between (NetworkPolicies), and that istiod runs.",
  });
}

function problemOf(error: unknown, { address, serverName }: IstiodEndpoint): MeshError {
  return connectionError(error, address, {
    name: `istiod's certificate is not for ${serverName}${namesIn(error)}: set \`serverName\` to a name that it is for.`,
    time: "Compare the clocks of this machine and of istiod; if they agree, restart istiod, which then makes a new certificate.",
    plainText: "The port may be that of plain text (15010), on which istiod signs nothing: use 15012.",
    untrusted:
      "The roots under `roots` have not signed istiod's certificate: check that they are those of this istiod. After a change of its root, istiod writes the new one itself within a minute.",
    dns: "Check the host in `address`, and the DNS. A revision of istiod has a Service of its own: istiod-REVISION.istio-system.svc.",
    network: "Check `address` (istiod's CA has port 15012), the network in between, and that istiod runs.",
  });
}

/** What Node found in the certificate, in its words: "DNS:istiod.istio-system.svc, …". */
function namesIn(error: unknown): string {
  if (
    !(error instanceof Error) ||
    !("cert" in error) ||
    typeof error.cert !== "object" ||
    error.cert === null
  )
    return "";
  const { cert } = error;
  return "subjectaltname" in cert && typeof cert.subjectaltname === "string"
    ? ` but for ${sanitizePeerText(cert.subjectaltname)}`
    : "";
}
