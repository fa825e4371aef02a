import type { ApiObject, ObjectMeta } from "./object.ts";
import { apiVersionOf, resources } from "./resources.ts";

/** A `coordination.k8s.io/v1` Lease, as far as it is read and written. */
export interface Lease extends ApiObject {
  readonly spec?: LeaseSpec;
}

export interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

/** The lease as `holder` has it from now on; `last` is what it was, if there was one. */
export function heldBy(
  holder: string,
  metadata: Partial<ObjectMeta>,
  last: LeaseSpec | undefined,
  durationMs: number,
  now: Date,
) {
  const time = microTime(now);
  const isRenewal = last?.holderIdentity === holder;
  return {
    ...head(metadata),
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      acquireTime: isRenewal ? (last.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: last === undefined ? 0 : (last.leaseTransitions ?? 0) + (isRenewal ? 0 : 1),
    },
  };
}

/** The lease when its holder has given it back: anybody may take it at once. */
export function released({ metadata, spec }: Lease, now: Date) {
  const { holderIdentity: _holder, ...rest } = spec ?? {};
  return { ...head(metadata), spec: { ...rest, leaseDurationSeconds: 1, renewTime: microTime(now) } };
}

function head(metadata: Partial<ObjectMeta>) {
  return { apiVersion: apiVersionOf(resources.leases), kind: resources.leases.kind, metadata };
}

/** It wants six digits. */
function microTime(date: Date): string {
  return date.toISOString().replace("Z", "000Z");
}
