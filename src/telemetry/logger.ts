import pino from "pino";
import { type Level, loggable } from "./loggable.ts";

/**
 * `error` is for bugs of attaché; a failure of the mesh or the store is a condition, and at most a warning.
 */
export interface Logger {
  readonly debug: Log;
  readonly info: Log;
  readonly warn: Log;
  readonly error: Log;
  /** A logger whose every line has these fields too. */
  child(fields: Readonly<Record<string, unknown>>): Logger;
}

/** An error goes into the field `err`. Secrets are redacted and long texts cut; see {@link loggable}. */
interface Log {
  (fields: object, message: string): void;
  (message: string): void;
}

/** JSON lines on standard error (fd 2), so that standard output belongs to a command's result. */
export function createLogger(
  level: Level,
  destination: pino.DestinationStream = pino.destination(2),
): Logger {
  const lines = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // The fields are plain already; pino would serialize `err` a second time.
      serializers: { err: (error: unknown) => error },
    },
    destination,
  );
  return new CleanLogger(lines, {});
}

/** A class, so that 10,000 children, one for each identity, share its methods. */
class CleanLogger implements Logger {
  readonly #lines: pino.Logger;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(lines: pino.Logger, fields: Readonly<Record<string, unknown>>) {
    this.#lines = lines;
    this.#fields = fields;
  }

  debug(fields: object | string, message?: string): void {
    this.#write("debug", fields, message);
  }

  info(fields: object | string, message?: string): void {
    this.#write("info", fields, message);
  }

  warn(fields: object | string, message?: string): void {
    this.#write("warn", fields, message);
  }

  error(fields: object | string, message?: string): void {
    this.#write("error", fields, message);
  }

  child(fields: Readonly<Record<string, unknown>>): Logger {
    return new CleanLogger(this.#lines, { ...this.#fields, ...fields });
  }

  #write(level: Exclude<Level, "silent">, first: object | string, message?: string): void {
    if (!this.#lines.isLevelEnabled(level)) return;
    const [fields, msg] = typeof first === "string" ? [{}, first] : [asFields(first), message];
    // The message comes first, so that no field of this name replaces it.
    this.#lines[level](loggable({ msg, ...this.#fields, ...fields }));
  }
}

function asFields(value: object): object {
  return value instanceof Error ? { err: value } : value;
}
