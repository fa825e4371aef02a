import { isTlsCode } from "../text/tls.ts";
import type { Access } from "./access.ts";
import { ApiError } from "./api-error.ts";

/** Why no whole answer came; what has no code of the system, TLS or HTTP is handed back: a bug of ours. */
export function transportError(error: unknown, { server }: Pick<Access, "server">): unknown {
  if (error instanceof ApiError) return error;
  const code = codeOf(error);
  if (code === "") return error;
  if (isTlsCode(code)) {
    return new ApiError("ATTACHE_KUBERNETES_TLS", `the TLS handshake with ${server} fails (${code})`, {
      cause: error,
    });
  }
  if (code.startsWith("HPE_")) {
    return new ApiError(
      "ATTACHE_KUBERNETES_MALFORMED",
      `${server} does not speak HTTP as it should (${code})`,
      {
        cause: error,
      },
    );
  }
  return new ApiError("ATTACHE_KUBERNETES_UNREACHABLE", `${server} cannot be reached (${code})`, {
    cause: error,
  });
}

/** Whether a connection broke that the other side may have closed before it got the request. */
export function isBroken(error: unknown): boolean {
  return ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"].includes(codeOf(error));
}

/** The innermost one, which says most. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const inner = codeOf(error.cause);
  if (inner !== "") return inner;
  // undici's, of an answer that does not even begin like HTTP.
  if (error.name === "HTTPParserError") return "HPE_INVALID";
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
