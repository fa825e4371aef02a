import { hash } from "node:crypto";
import pino from "pino";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { type Level, levels, loggable } from "./loggable.ts";
import { type FieldName, type FieldsOf, type Message, type MessageId, messages } from "./messages.ts";

export interface Logger {
  /** Writes a line of the registry. Secrets are redacted and long texts cut; see {@link loggable}. */
  log<I extends MessageId>(id: I, ...fields: FieldsOf<I>): void;
  /** A logger whose every line has these fields too. */
  child(fields: ChildFields): Logger;
}

type ChildFields = Readonly<Partial<Record<FieldName, unknown>>>;

/** The logger of a process, whose level can change. */
export interface RootLogger extends Logger {
  readonly level: Level;
  /** For all children too. */
  setLevel(level: Level): void;
}

/** JSON lines on standard error (fd 2), so that standard output belongs to a command's result. */
export function createLogger(
  level: Level,
  destination: pino.DestinationStream = pino.destination(2),
  clock: Pick<Clock, "elapsedMs"> = systemClock,
): RootLogger {
  return new CleanLogger(new Lines(level, destination, clock), {});
}

/** A class, so that 10,000 children, one for each identity, share its methods. */
class CleanLogger implements RootLogger {
  readonly #lines: Lines;
  readonly #fields: ChildFields;

  constructor(lines: Lines, fields: ChildFields) {
    this.#lines = lines;
    this.#fields = fields;
  }

  log<I extends MessageId>(id: I, ...[fields]: FieldsOf<I>): void {
    this.#lines.write(id, { ...this.#fields, ...fields });
  }

  child(fields: ChildFields): Logger {
    return new CleanLogger(this.#lines, { ...this.#fields, ...fields });
  }

  get level(): Level {
    return this.#lines.level;
  }

  /** The change is logged under the more verbose of both levels. */
  setLevel(level: Level): void {
    if (level === this.level) return;
    const isQuieter = levels.indexOf(level) > levels.indexOf(this.level);
    if (isQuieter) this.log("LevelChanged", { to: level });
    this.#lines.level = level;
    if (!isQuieter) this.log("LevelChanged", { to: level });
  }
}

/** For so long a line that is equal to one that was written is counted. */
const countedForMs = 10 * 60_000;
/** So many lines are remembered for it. */
const maxCounted = 1_000;

type Line = Readonly<Record<string, unknown>>;

interface Counted {
  readonly level: Message["level"];
  readonly line: Line;
  readonly untilMs: number;
  repeats: number;
}

/** Where the lines of all loggers of a process go. */
class Lines {
  readonly #pino: pino.Logger;
  readonly #clock: Pick<Clock, "elapsedMs">;
  /** The oldest first. */
  readonly #counted = new Map<string, Counted>();

  constructor(level: Level, destination: pino.DestinationStream, clock: Pick<Clock, "elapsedMs">) {
    this.#clock = clock;
    this.#pino = pino(
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
  }

  get level(): Level {
    return this.#pino.level as Level;
  }

  set level(level: Level) {
    this.#pino.level = level;
  }

  write(id: MessageId, fields: ChildFields): void {
    this.#writeRepeats();
    const { level, text, code, isCounted = false }: Message = messages[id];
    if (!this.#pino.isLevelEnabled(level)) return;
    // The message comes first, so that no field of this name replaces it.
    const line = loggable({ id, msg: text, ...(code && { code }), ...fields });
    if (!isCounted || this.#isNew(level, line)) this.#pino[level](line);
  }

  #isNew(level: Message["level"], line: Line): boolean {
    const fact = factOf(line);
    const known = this.#counted.get(fact);
    if (known === undefined) this.#remember(fact, { level, line });
    else known.repeats += 1;
    return known === undefined;
  }

  #remember(fact: string, line: Pick<Counted, "level" | "line">): void {
    this.#counted.set(fact, { ...line, untilMs: this.#clock.elapsedMs() + countedForMs, repeats: 0 });
  }

  /** Of the lines whose time is over. Without a timer: with the next line. */
  #writeRepeats(): void {
    const nowMs = this.#clock.elapsedMs();
    for (const [fact, { level, line, untilMs, repeats }] of this.#counted) {
      if (untilMs > nowMs && this.#counted.size <= maxCounted) return;
      this.#counted.delete(fact);
      if (repeats === 0) continue;
      this.#pino[level]({ ...line, repeats });
      if (untilMs <= nowMs) this.#remember(fact, { level, line });
    }
  }
}

/** Equal for lines that report the same problem of the same object; addresses and ports in it may differ. */
function factOf({ err, ...line }: Line): string {
  const { code, message } = (err ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  const problem = String(message).replaceAll(/\d+/g, "0");
  return hash("sha256", JSON.stringify([line, code, problem]), "base64url");
}
