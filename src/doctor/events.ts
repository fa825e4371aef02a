import type { KubeClient } from "../kube/client.ts";
import type { ApiObject } from "../kube/object.ts";
import { pages } from "../kube/pages.ts";
import { pathOf, resources } from "../kube/resources.ts";

/** The Events that attaché has written in a namespace, of all objects or of one. @throws ApiError */
export async function eventsIn(
  api: KubeClient,
  namespace: string | undefined,
  uid?: string,
): Promise<ApiObject[]> {
  const path = pathOf(resources.events, { namespace });
  const query = uid === undefined ? {} : { fieldSelector: `regarding.uid=${uid}` };
  const found: ApiObject[] = [];
  for await (const { items } of pages(api, { path, query }))
    found.push(...items.filter((event) => event["reportingController"] === "attache.dev/attache"));
  return found;
}
