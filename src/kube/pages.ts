import { hasCode } from "./api-error.ts";
import type { Accept, KubeClient, Query } from "./client.ts";
import type { ApiObject } from "./object.ts";
import { type ObjectPlace, pathOf, type Resource } from "./resources.ts";

interface ListRequest {
  readonly path: string;
  readonly query?: Query;
  readonly accept?: Accept;
  readonly signal?: AbortSignal;
  /** How many objects are asked for at once, until an answer is too long; 500 by default. */
  readonly pageSize?: number;
}

interface Page {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly ApiObject[];
}

type Answered = Omit<Page, "items"> & { readonly items: readonly ApiObject[] | null };

/**
 * A list, piece by piece: neither side has to hold all of it at once. Each tenant may write objects of a megabyte, so
 * pages become smaller where one is too long. @throws ApiError
 */
export async function* pages(api: Pick<KubeClient, "request">, list: ListRequest): AsyncGenerator<Page> {
  const { pageSize = 500, ...request } = list;
  let next = "";
  let limit = pageSize;
  do {
    const query = { ...request.query, ...(next !== "" && { continue: next }) };
    const sized = await sizedPage(api, { ...request, query }, limit);
    const { page } = sized;
    limit = sized.limit;
    next = page.metadata.continue ?? "";
    // The list of metadata is null where there is none.
    yield { ...page, items: page.items ?? [] };
  } while (next !== "");
}

/** A page of `limit` objects, or of fewer where that is more than an answer may be. */
async function sizedPage(
  api: Pick<KubeClient, "request">,
  request: ListRequest,
  limit: number,
): Promise<{ readonly page: Answered; readonly limit: number }> {
  try {
    const query = { ...request.query, limit };
    return { page: await api.request<Answered>({ ...request, method: "GET", query }), limit };
  } catch (error) {
    if (limit === 1 || !hasCode(error, "ATTACHE_KUBERNETES_MALFORMED")) throw error;
    return sizedPage(api, request, Math.max(1, Math.floor(limit / 8)));
  }
}

/** All objects of a kind. @throws ApiError */
export async function list(
  api: Pick<KubeClient, "request">,
  resource: Resource,
  place: ObjectPlace,
  signal?: AbortSignal,
): Promise<readonly ApiObject[]> {
  const all: ApiObject[] = [];
  const request = { path: pathOf(resource, place), ...(signal && { signal }) };
  for await (const { items } of pages(api, request)) all.push(...items);
  return all;
}
