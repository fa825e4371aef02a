import { isTlsCode } from "../../text/tls.ts";
import { MeshError } from "../errors.ts";
import { codeOf } from "./errors.ts";

/**
 * What an operator does about a connection that fails, by its kind; where one is absent, that of the last one
 * of its group.
 */
export interface ConnectionRemedies {
  /** The certificate is for another name. */
  readonly name: string;
  /** The certificate has expired, or is not valid yet. */
  readonly time: string;
  /** The peer does not speak TLS. */
  readonly plainText: string;
  /** The peer refuses our client certificate. */
  readonly client?: string;
  /** No CA that is trusted has signed the certificate, and all else of TLS. */
  readonly untrusted: string;
  readonly dns: string;
  readonly refused?: string;
  readonly reset?: string;
  /** All else of the connection. */
  readonly network: string;
}

/** Why a connection to `address` failed, as an error of the mesh. */
export function connectionError(error: unknown, address: string, remedies: ConnectionRemedies): MeshError {
  const code = codeOf(error) ?? "unknown error";
  const options = {
    remedy: remedies[kindOf(code)] ?? remedies[isTlsCode(code) ? "untrusted" : "network"],
    cause: error,
  };
  return isTlsCode(code)
    ? new MeshError("ATTACHE_MESH_TLS", `the TLS handshake with ${address} fails (${code})`, options)
    : new MeshError("ATTACHE_MESH_UNREACHABLE", `${address} cannot be reached (${code})`, options);
}

function kindOf(code: string): keyof ConnectionRemedies {
  const kind = kinds.find(([, codes]) => codes.includes(code))?.[0];
  if (kind !== undefined) return kind;
  if (!isTlsCode(code)) return "network";
  return code.includes("ALERT") ? "client" : "untrusted";
}

const kinds: readonly (readonly [kind: keyof ConnectionRemedies, codes: readonly string[]])[] = [
  ["name", ["ERR_TLS_CERT_ALTNAME_INVALID"]],
  ["time", ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]],
  ["plainText", ["EPROTO", "ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG"]],
  ["dns", ["ENOTFOUND", "EAI_AGAIN"]],
  ["refused", ["ECONNREFUSED"]],
  ["reset", ["ECONNRESET"]],
];
