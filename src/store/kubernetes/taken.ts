import { StoreError } from "../errors.ts";
import type { ObjectRef } from "./observed-object.ts";

export function taken({ kind, namespace, name }: ObjectRef, because: string, remedy?: string): StoreError {
  return new StoreError("ATTACHE_STORE_TARGET_TAKEN", `${kind} ${namespace}/${name} is taken: ${because}`, {
    remedy:
      remedy ??
      "Choose another name under `spec.target`, remove the other object, or have it taken over with `spec.target.adopt: true`.",
  });
}
