import { hash } from "node:crypto";
import { AttacheError } from "../errors/attache-error.ts";
import type { KubeClient } from "../kube/client.ts";
import { resources } from "../kube/resources.ts";
import { type AccessReview, review } from "../kube/review.ts";
import type { Clock } from "../runtime/clock.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import { ServerError } from "../server/failure.ts";
import type { Request } from "../server/routes.ts";

interface ReviewsOptions {
  readonly api: Pick<KubeClient, "request">;
  /** Those that attaché acts in; empty: all. */
  readonly namespaces: readonly string[];
  readonly clock: Clock;
}

/** For how long a verdict on a token counts, and how many are remembered. */
const freshMs = 10_000;
const maxVerdicts = 256;

/** Requests to the API server at the same time, whatever tokens are tried. */
const maxConcurrent = 4;

/** Resolves to why the token is refused. */
type Verdict = Promise<ServerError | undefined>;

/**
 * Admits requests for data whose bearer token is of a user that may list MeshCertificates in each namespace
 * that attaché acts in: who can read their names and statuses by the API server may read them here. The page
 * itself has no data. Tokens are remembered by their digest only.
 */
export function tokenReviews({
  api,
  namespaces,
  clock,
}: ReviewsOptions): (request: Request) => Promise<void> {
  const verdicts = new Map<string, { readonly verdict: Verdict; readonly atMs: number }>();
  const turns = new Semaphore(maxConcurrent);

  async function judge(token: string): Verdict {
    const { authenticated, user } = await review<TokenReview>(api, resources.tokenReviews, { token });
    if (authenticated !== true || user === undefined)
      return refused("the API server does not accept the token");
    const { username, uid, groups, extra } = user;
    for (const namespace of namespaces.length === 0 ? [""] : namespaces) {
      const { group, plural } = resources.meshCertificates;
      const { allowed } = await review<AccessReview>(api, resources.subjectAccessReviews, {
        resourceAttributes: { namespace, verb: "list", group, resource: plural },
        ...{ user: username, uid, groups, extra },
      });
      if (!allowed) {
        const place = namespace === "" ? "all namespaces" : `namespace ${namespace}`;
        return new ServerError(
          "ATTACHE_SERVER_FORBIDDEN",
          `the user may not list MeshCertificates in ${place}`,
        );
      }
    }
    return undefined;
  }

  function verdictOn(token: string): Verdict {
    const key = hash("sha256", token);
    const nowMs = clock.elapsedMs();
    const known = verdicts.get(key);
    if (known !== undefined && nowMs - known.atMs < freshMs) return known.verdict;
    verdicts.delete(key);
    const verdict = turns.run(() => judge(token));
    // The API server may answer the next time.
    verdict.catch(() => verdicts.delete(key));
    verdicts.set(key, { verdict, atMs: nowMs });
    const [oldest = key] = verdicts.keys();
    if (verdicts.size > maxVerdicts) verdicts.delete(oldest);
    return verdict;
  }

  return async ({ url, headers: { authorization = "" } }) => {
    if (!url.pathname.startsWith("/api/")) return;
    const token = /^Bearer (\S+)$/i.exec(authorization)?.[1];
    if (token === undefined) throw refused("the request has no bearer token");
    let refusal: ServerError | undefined;
    try {
      refusal = await verdictOn(token);
    } catch (cause) {
      if (!(cause instanceof AttacheError)) throw cause;
      const options = { remedy: cause.remedy, cause };
      throw new ServerError("ATTACHE_SERVER_BUSY", `the token cannot be reviewed: ${cause.problem}`, options);
    }
    if (refusal !== undefined) throw refusal;
  };
}

interface TokenReview {
  readonly authenticated?: boolean;
  readonly user?: {
    readonly username?: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

function refused(problem: string): ServerError {
  return new ServerError("ATTACHE_SERVER_TOKEN", problem);
}
