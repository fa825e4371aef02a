import type { Accept, KubeClient, Query } from "./client.ts";
import type { ApiObject } from "./object.ts";
import { type ObjectPlace, pathOf, type Resource } from "./resources.ts";

interface ListRequest {
  readonly path: string;
  readonly query?: Query;
  readonly accept?: Accept;
  readonly signal?: AbortSignal;
}

interface Page {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly ApiObject[];
}

type Answered = Omit<Page, "items"> & { readonly items: readonly ApiObject[] | null };

/** How many objects are asked for at once. */
const pageSize = 500;

/** A list, piece by piece: neither side has to hold all of it at once. @throws ApiError */
export async function* pages(api: Pick<KubeClient, "request">, request: ListRequest): AsyncGenerator<Page> {
  let next = "";
  do {
    const query = { ...request.query, limit: pageSize, ...(next !== "" && { continue: next }) };
    const page = await api.request<Answered>({ ...request, method: "GET", query });
    next = page.metadata.continue ?? "";
    // The list of metadata is null where there is none.
    yield { ...page, items: page.items ?? [] };
  } while (next !== "");
}

/** All objects of a kind. @throws ApiError */
export async function list(
  api: Pick<KubeClient, "request">,
  resource: Resource,
  place: ObjectPlace,
): Promise<readonly ApiObject[]> {
  const all: ApiObject[] = [];
  for await (const { items } of pages(api, { path: pathOf(resource, place) })) all.push(...items);
  return all;
}
