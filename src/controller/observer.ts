import type { IdentityKey } from "../api/mesh-certificate.ts";
import type { Counters } from "../telemetry/counters.ts";

/** What the reconcilers report, for metrics and other observers. */
export interface Observer extends Pick<
  Counters,
  "applied" | "rejected" | "unknownRoot" | "meshRequest" | "storeError"
> {
  published(rotation: Parameters<Counters["published"]>[0] & { readonly identity: IdentityKey }): void;
}
