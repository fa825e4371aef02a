import pino from "pino";

/** The part of pino's logger that attaché uses. `error` is our bug; what is the mesh's is a condition. */
export type Logger = Pick<pino.Logger, "debug" | "info" | "warn" | "error"> & {
  child(bindings: Record<string, unknown>): Logger;
};

export const levels = ["debug", "info", "warn", "error", "silent"] as const;
export type Level = (typeof levels)[number];

/**
 * Names that hold secrets anywhere attaché or its libraries might log them. Keys are `KeyObject`s, which
 * print as nothing; this is the second line of defence.
 */
const secrets = ["key", "token", "secretId", "bearerToken", "authorization", "password", "privateKey"];

/** JSON lines on standard error (fd 2), so that standard output belongs to a command's result. */
export function createLogger(level: Level, destination: pino.DestinationStream = pino.destination(2)): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secrets.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: "[redacted]" },
    },
    destination,
  );
}
