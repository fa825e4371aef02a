/** Aborts at SIGTERM or SIGINT; a second one ends the process at once, as it does by default. */
export function untilSignalled(): AbortSignal {
  const ended = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => ended.abort());
  return ended.signal;
}
