import { z } from "zod";
import type { KubeVerb } from "../telemetry/counters.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { isTlsCode } from "../text/tls.ts";
import { ApiError, type ApiErrorCode } from "./api-error.ts";
import { namedBy } from "./resources.ts";

/** What an error says of its request. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly isWatch?: boolean;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** The header. */
  readonly retryAfter?: string | undefined;
}

/** `meta/v1` Status, as far as it is read. */
const statusSchema = z.object({
  kind: z.literal("Status"),
  message: z.string().default(""),
  reason: z.string().default(""),
  code: z.number().int().default(0),
  details: z
    .object({
      name: z.string().optional(),
      kind: z.string().optional(),
      retryAfterSeconds: z.number().nonnegative().optional(),
      causes: z.array(z.object({ reason: z.string().optional() })).optional(),
    })
    .default({}),
});

type Status = z.infer<typeof statusSchema>;

export function parseStatus(value: unknown): Status | undefined {
  const parsed = statusSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

/** The error for an answer whose status is not 2xx. @param secrets what was sent and must not come back. */
export function answerError(asked: Asked, answer: Answer, secrets: readonly string[]): ApiError {
  const status = statusOf(answer.text);
  const afterHeaderMs = Number(answer.retryAfter) * 1000;
  return statusError(
    asked,
    {
      kind: "Status",
      message: status?.message ?? answer.text,
      reason: status?.reason ?? "",
      code: answer.status,
      details: {
        ...status?.details,
        ...(afterHeaderMs > 0 && { retryAfterSeconds: afterHeaderMs / 1000 }),
      },
    },
    secrets,
  );
}

/** Whether the API server says so itself, and not a pod through it. */
export function isStatus(text: string): boolean {
  return statusOf(text) !== undefined;
}

function statusOf(text: string): Status | undefined {
  try {
    return parseStatus(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** As {@link answerError}, for the Status in the middle of a watch. */
export function statusError(asked: Asked, status: Status, secrets: readonly string[]): ApiError {
  const { code, details } = status;
  const said = sanitizePeerText(status.message, { secrets });
  const { retryAfterSeconds } = details;
  const options = {
    status: code,
    ...(retryAfterSeconds !== undefined && { retryAfterMs: retryAfterSeconds * 1000 }),
  };
  const kind = codeOf(status);
  if (kind === "ATTACHE_KUBERNETES_FORBIDDEN") {
    const user = userIn(said);
    // Also "cannot impersonate-on:user-info:list" (constrained impersonation), which does not name the other user.
    if (/ cannot impersonate[ :-]/.test(said)) {
      return new ApiError(kind, `${user} may not impersonate another user`, {
        ...options,
        remedy: `Grant ${user} "impersonate" on users or serviceaccounts, or leave out --as, and \`as\` in the kubeconfig.`,
      });
    }
    const may = permission(asked);
    return new ApiError(kind, `${user} may not ${may.verb} ${may.what}`, {
      ...options,
      remedy: `Grant ${user} "${may.verb}" on ${may.what}: the chart's Roles have all that attaché needs.`,
    });
  }
  return new ApiError(
    kind,
    `${asked.method} ${asked.path}: ${said === "" ? `status ${code}` : said}`,
    options,
  );
}

function codeOf({ code, reason, message, details }: Status): ApiErrorCode {
  switch (code) {
    case 401:
      return "ATTACHE_KUBERNETES_UNAUTHENTICATED";
    case 404:
      // Without details the API server looked for no object: the path itself is unknown.
      return details.kind === undefined && details.name === undefined
        ? "ATTACHE_KUBERNETES_KIND_UNKNOWN"
        : "ATTACHE_KUBERNETES_NOT_FOUND";
    case 409:
      return reason === "AlreadyExists" ? "ATTACHE_KUBERNETES_EXISTS" : "ATTACHE_KUBERNETES_CONFLICT";
    case 410:
      return "ATTACHE_KUBERNETES_EXPIRED";
    case 429:
      return "ATTACHE_KUBERNETES_THROTTLED";
  }
  const causes = details.causes?.map((cause) => cause.reason) ?? [];
  if (causes.includes("NamespaceTerminating")) return "ATTACHE_KUBERNETES_NAMESPACE_ENDS";
  // A version of the future: etcd was restored from a backup.
  if (causes.includes("ResourceVersionTooLarge")) return "ATTACHE_KUBERNETES_EXPIRED";
  // Server-side apply answers so to an object of another shape.
  if (message.startsWith("failed to create typed patch object")) return "ATTACHE_KUBERNETES_INVALID";
  if (code >= 500) return "ATTACHE_KUBERNETES_UNAVAILABLE";
  if (message.includes(" exceeded quota: ")) return "ATTACHE_KUBERNETES_QUOTA";
  if (/User ".*" cannot /.test(message)) return "ATTACHE_KUBERNETES_FORBIDDEN";
  // Policies and webhooks may answer with other statuses as well.
  return code === 403 || / denied (?:the )?request: /.test(message)
    ? "ATTACHE_KUBERNETES_DENIED"
    : "ATTACHE_KUBERNETES_INVALID";
}

/** The verb and object of a request, in the words of a Role. */
function permission(asked: Asked): { verb: string; what: string } {
  const named = namedBy(asked.path);
  const verb = verbOf(asked);
  if (named === undefined) return { verb, what: asked.path };
  const { group, resource, namespace } = named;
  const where = namespace === undefined ? "in the whole cluster" : `in namespace ${namespace}`;
  return { verb, what: `${group === "" ? resource : withGroup(resource, group)} ${where}` };
}

/** `meshcertificates.attache.dev/status`, as `kubectl auth can-i` takes it. */
function withGroup(resource: string, group: string): string {
  return resource.replace(/(?=\/|$)/, `.${group}`);
}

/** As RBAC has it. */
export function verbOf({ method, path, isWatch = false }: Asked): KubeVerb {
  if (isWatch) return "watch";
  switch (method) {
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return "delete";
    default: {
      const named = namedBy(path);
      return named !== undefined && named.name === undefined ? "list" : "get";
    }
  }
}

function userIn(message: string): string {
  return /User "([^"]+)"/.exec(message)?.[1] ?? "attaché's ServiceAccount";
}

/**
 * The error where no whole answer came from `server`; an error without a code of the system, TLS or HTTP is a
 * bug: it is returned.
 */
export function transportError(error: unknown, server: string): unknown {
  if (error instanceof ApiError) return error;
  const cause = transportCodeOf(error);
  if (cause === "") return error;
  const [code, problem] = transportProblem(cause, server);
  return new ApiError(`ATTACHE_KUBERNETES_${code}`, `${problem} (${cause})`, { cause: error });
}

function transportProblem(code: string, server: string): ["TLS" | "MALFORMED" | "UNREACHABLE", string] {
  if (isTlsCode(code)) return ["TLS", `the TLS handshake with ${server} fails`];
  if (code.startsWith("HPE_")) return ["MALFORMED", `${server} does not speak HTTP as it should`];
  return ["UNREACHABLE", `${server} cannot be reached`];
}

/** Whether a connection broke that the other side may have closed before it got the request. */
export function isBroken(error: unknown): boolean {
  return ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"].includes(transportCodeOf(error));
}

/** The innermost code, which says most. */
function transportCodeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const inner = transportCodeOf(error.cause);
  if (inner !== "") return inner;
  // undici's, of an answer that does not even begin like HTTP.
  if (error.name === "HTTPParserError") return "HPE_INVALID";
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
