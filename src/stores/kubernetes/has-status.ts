import { ApiError } from "../../kubernetes/api-error.ts";

/** Whether the API server answered with one of these. */
export function hasStatus(error: unknown, ...statuses: readonly number[]): error is ApiError {
  return error instanceof ApiError && error.status !== undefined && statuses.includes(error.status);
}
