import { unlessAborted } from "../../runtime/abort.ts";
import type { Clock } from "../../runtime/clock.ts";
import { withTimeout } from "../../runtime/timeout.ts";
import { MeshError } from "../errors.ts";
import type { Check } from "../port.ts";

/** How long an operator waits for the answers that a check needs. */
export const checkMs = 10_000;

export function ok(name: string, message: string): Check {
  return { name, status: "ok", message };
}

export function warning(name: string, message: string, remedy: string): Check {
  return { name, status: "warning", message, remedy };
}

export function failed(name: string, { problem, remedy }: Pick<MeshError, "problem" | "remedy">): Check {
  return { name, status: "failed", message: problem, remedy };
}

/** What `work` gives, or one failed check of this name if it throws a MeshError. */
export async function checking(name: string, work: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await work();
  } catch (error) {
    if (!MeshError.is(error)) throw error;
    return [failed(name, error)];
  }
}

export interface Limit {
  readonly ms: number;
  readonly late: () => MeshError;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/**
 * The result of `work`; when time is up, it rejects with `late` and the signal that `work` was given aborts,
 * as it does at the end.
 */
export async function within<T>(
  { ms, late, clock, signal }: Limit,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using limit = withTimeout(ms, late, clock, signal);
  const over = new AbortController();
  const abort = () => over.abort(limit.signal.reason);
  if (limit.signal.aborted) abort();
  limit.signal.addEventListener("abort", abort);
  try {
    return await unlessAborted(work(over.signal), over.signal);
  } finally {
    over.abort();
  }
}

/** A peer that did not answer in time. */
export function late(peer: string, ms: number, remedy?: string): MeshError {
  const problem = `${peer} did not answer in ${ms / 1000} s`;
  return new MeshError("ATTACHE_MESH_TIMEOUT", problem, remedy === undefined ? {} : { remedy });
}
