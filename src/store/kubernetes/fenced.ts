import type { KubeClient } from "../../kube/client.ts";
import { StoreError } from "../errors.ts";

/**
 * An Api that writes nothing once `mayWrite` says no: a leader that was stopped and wakes up must not repeat, with
 * what it reads now, what the server has refused for being late.
 */
export function fenced(api: KubeClient, mayWrite: () => boolean): Pick<KubeClient, "request"> {
  return {
    request: async (request) => {
      if (request.method !== "GET" && !mayWrite()) {
        throw new StoreError("ATTACHE_STORE_DEPOSED", "another replica leads: this one writes nothing");
      }
      return api.request(request);
    },
  };
}
