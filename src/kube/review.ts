import type { KubeClient } from "./client.ts";
import { apiVersionOf, pathOf, type Resource } from "./resources.ts";

/**
 * Asks the API server about a token, a right or the caller. It answers with the status of the object at once, and
 * keeps none.
 * @throws ApiError
 */
export async function review<Status>(
  api: Pick<KubeClient, "request">,
  resource: Resource,
  spec?: object,
): Promise<Status> {
  const body = { apiVersion: apiVersionOf(resource), kind: resource.kind, spec };
  const answer = await api.request<{ readonly status: Status }>({
    method: "POST",
    path: pathOf(resource),
    body,
  });
  return answer.status;
}

/** Status of a SubjectAccessReview. */
export interface AccessReview {
  readonly allowed: boolean;
}
