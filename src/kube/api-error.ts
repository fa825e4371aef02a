import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import type { Code } from "../errors/codes.ts";

export type ApiErrorCode = Extract<Code, `ATTACHE_KUBERNETES_${string}`>;

interface ApiErrorOptions extends AttacheErrorOptions {
  /** Of HTTP; absent when no answer came. */
  readonly status?: number | undefined;
  /** The least time to wait before the next try, in milliseconds, when the API server named one. */
  readonly retryAfterMs?: number | undefined;
}

/**
 * Why the API server did not do what it was asked for. What it says itself stands in the message, cut and
 * without secrets.
 */
export class ApiError extends AttacheError {
  declare readonly code: ApiErrorCode;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ApiErrorCode, problem: string, options: ApiErrorOptions = {}) {
    super(code, problem, options);
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Whether the API server answered with one of these. */
export function hasStatus(error: unknown, ...statuses: readonly number[]): error is ApiError {
  return error instanceof ApiError && error.status !== undefined && statuses.includes(error.status);
}

/** Finer than the status: why it did not do it. */
export function hasCode(error: unknown, ...codes: readonly ApiErrorCode[]): error is ApiError {
  return error instanceof ApiError && codes.includes(error.code);
}

/** The error for an answer that is not what the Kubernetes API says. */
export function malformed(problem: string, cause?: unknown): ApiError {
  return new ApiError("ATTACHE_KUBERNETES_MALFORMED", problem, { cause });
}
