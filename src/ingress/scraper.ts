import { Agent, type Dispatcher, request } from "undici";
import type { Clock } from "../runtime/clock.ts";
import { type MetricsPage, MetricsPageReader } from "../emissary/metrics-page.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import type { Code } from "../errors/codes.ts";

/** Why a pod of the ingress does not say what it has loaded. */
export class IngressError extends AttacheError {
  constructor(
    code: Extract<Code, `ATTACHE_INGRESS_${string}`>,
    problem: string,
    options: AttacheErrorOptions = {},
  ) {
    super(code, problem, options);
  }
}

/** Fetches the metrics of ingress pods, over connections that stay open for ten seconds. */
interface Scraper extends AsyncDisposable {
  /** @throws IngressError; the signal's reason on its abort. */
  scrape(url: string, wanted: ReadonlySet<string>, signal: AbortSignal): Promise<MetricsPage>;
}

export interface ScraperOptions {
  readonly clock: Clock;
  readonly userAgent: string;
  /** Of one whole page; 10 s by default. */
  readonly timeoutMs?: number;
  /** Of a connection; 3 s by default. */
  readonly connectTimeoutMs?: number;
  /** Of one page; 128 MB by default: with a thousand TLS clusters it is 15. */
  readonly maxBytes?: number;
}

export function openScraper(options: ScraperOptions): Scraper {
  const {
    clock,
    userAgent,
    timeoutMs = 10_000,
    connectTimeoutMs = 3_000,
    maxBytes = 128 * 1024 * 1024,
  } = options;
  const agent = new Agent({
    connections: 1,
    connect: { timeout: connectTimeoutMs },
    keepAliveTimeout: 10_000,
    // The clock limits the time.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return {
    async scrape(url, wanted, signal) {
      const late = () =>
        new IngressError(
          "ATTACHE_INGRESS_TIMEOUT",
          `${url} did not answer completely within ${timeoutMs / 1_000} s`,
        );
      using within = withTimeout(timeoutMs, late, clock, signal);
      try {
        const answer = await request(url, {
          dispatcher: agent,
          signal: within.signal,
          headers: { "user-agent": userAgent, accept: "text/plain" },
        });
        return await pageOf(url, answer, wanted, maxBytes);
      } catch (error) {
        within.signal.throwIfAborted();
        throw error instanceof IngressError ? error : unreachable(url, error);
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

async function pageOf(
  url: string,
  { statusCode, headers, body }: Dispatcher.ResponseData,
  wanted: ReadonlySet<string>,
  maxBytes: number,
): Promise<MetricsPage> {
  const refuse = (problem: string) => {
    // The rest of the answer is ignored.
    body.on("error", () => undefined).destroy();
    return new IngressError("ATTACHE_INGRESS_MALFORMED", `${url} ${problem}`);
  };
  if (statusCode !== 200) throw refuse(`answers with status ${statusCode}`);
  const type = String(headers["content-type"] ?? "nothing");
  if (!/^(?:text\/plain|application\/openmetrics-text)\b/i.test(type)) {
    throw refuse(`answers with ${sanitizePeerText(type)}, not with metrics`);
  }
  const reader = new MetricsPageReader(wanted);
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw refuse(`answers with more than ${maxBytes} bytes`);
    reader.take(chunk);
  }
  const page = reader.end();
  // A cluster without its certificates would look exposed.
  if (reader.isCut) throw refuse("breaks off in the middle of a line");
  if (!page.hasEnvoy) throw refuse("answers with metrics of which none is Envoy's");
  return page;
}

/** @throws the error itself where it is no failure of the network, but a bug. */
function unreachable(url: string, error: unknown): IngressError {
  const code = codeOf(error);
  if (code === "") throw error;
  return code.startsWith("HPE_")
    ? new IngressError("ATTACHE_INGRESS_MALFORMED", `${url} does not speak HTTP (${code})`, { cause: error })
    : new IngressError("ATTACHE_INGRESS_UNREACHABLE", `${url} cannot be reached (${code})`, { cause: error });
}

/** The innermost code, which is the most precise. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const inner = codeOf(error.cause);
  if (inner !== "") return inner;
  if (error.name === "HTTPParserError") return "HPE_INVALID";
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
