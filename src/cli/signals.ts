import { parseDuration } from "../text/duration.ts";
import { UsageError } from "./errors.ts";

/** Aborts at SIGTERM or SIGINT; a second one ends the process at once, as it does by default. */
export function untilSignalled(): AbortSignal {
  const ended = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => ended.abort());
  return ended.signal;
}

/** The maximum of a timer in milliseconds: 24 days. */
const longestTimerMs = 2 ** 31 - 1;

/** Aborts after a time. */
export function timeout(ms: number): AbortSignal {
  return AbortSignal.timeout(Math.min(Math.round(ms), longestTimerMs));
}

/** What `--request-timeout` says, in milliseconds. As in kubectl: 0 is none, a number alone seconds. */
export function requestTimeoutOf(text: string): number {
  return Math.min(durationOf(/^\d+$/.test(text) ? `${text}s` : text) || longestTimerMs, longestTimerMs);
}

/** In milliseconds. */
export function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new UsageError(`"${text}" is no duration`, {
    remedy: "Write a number and a unit: 500ms, 60s, 15m, 24h.",
  });
}
