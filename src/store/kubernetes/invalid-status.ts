import type { Condition, Status } from "../../api/mesh-certificate.ts";
import type { StoreError } from "../errors.ts";
import type { SeenIdentity } from "./identity.ts";

export type InvalidIdentity = SeenIdentity & { readonly content: StoreError };

/** `status`, and in it that the identity cannot be read: what was published of it before is as good as it was. */
export function withInvalid(
  { metadata, content, status: last }: InvalidIdentity,
  status: Status,
  now: Date,
): Status {
  const before = last?.conditions.find(({ type }) => type === "Published");
  const { generation } = metadata;
  const published: Condition = {
    type: "Published",
    status: "False",
    reason: "Invalid",
    message: `${content.message}. ${content.remedy}`,
    lastTransitionTime: before?.status === "False" ? before.lastTransitionTime : now.toISOString(),
    ...(generation !== undefined && { observedGeneration: generation }),
  };
  const others = status.conditions.filter(({ type }) => type !== "Published");
  return { ...status, conditions: [...others, published] };
}
