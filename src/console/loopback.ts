import { ServerError } from "../server/failure.ts";
import type { Request } from "../server/routes.ts";

/**
 * Refuses a request that was not made to this machine by name: the page of another site can let its own name
 * point here (DNS rebinding), and its browser would let it read the answers.
 */
export function fromThisMachine({ headers: { host = "" } }: Request): void {
  if (/^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host)) return;
  throw new ServerError("ATTACHE_SERVER_HOST", "the request is for another host");
}

/**
 * Refuses a request for data by the page of another origin. Its browser would not let it read the answer, but a
 * hidden page could hold all the feeds that there are. Browsers send `Sec-Fetch-Site`; other clients need not.
 */
export function fromOwnPage({ url, headers }: Request): void {
  const { "sec-fetch-site": site = "none" } = headers;
  if (!url.pathname.startsWith("/api/") || site === "same-origin" || site === "none") return;
  throw new ServerError("ATTACHE_SERVER_HOST", "the request is by a page of another origin");
}
