import type { Condition, Status } from "../../api/mesh-identity.ts";
import type { StoreError } from "../errors.ts";
import type { SeenIdentity } from "./identity.ts";

/** The identity's status, and in it that it cannot be read: what was published of it before is as good as it was. */
export function withInvalid({ metadata, status }: SeenIdentity, error: StoreError, now: Date): Status {
  const { conditions = [] } = status ?? {};
  const before = conditions.find(({ type }) => type === "Published");
  const { generation } = metadata;
  const published: Condition = {
    type: "Published",
    status: "False",
    reason: "Invalid",
    message: `${error.message}. ${error.remedy}`,
    lastTransitionTime: before?.status === "False" ? before.lastTransitionTime : now.toISOString(),
    ...(generation !== undefined && { observedGeneration: generation }),
  };
  return { ...status, conditions: [...conditions.filter(({ type }) => type !== "Published"), published] };
}
