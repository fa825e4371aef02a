import { styleText } from "node:util";
import { stringify } from "yaml";
import type { Format } from "./options.ts";

/** A column of a table. `wide`: only with `-o wide`. */
export interface Column<T> {
  readonly heading: string;
  readonly cell: (row: T) => string;
  readonly wide?: true;
}

interface Printed<T> {
  readonly rows: readonly T[];
  readonly columns: readonly Column<T>[];
  readonly data: unknown;
  /** Lines above the table. */
  readonly head?: readonly string[];
  /** Prints only these of `rows`, to continue a table that was printed before. */
  readonly more?: readonly T[];
  /** Paragraphs below the table. */
  readonly notes?: readonly string[];
}

/** Prints `rows` in `format`: machines get `data`, people the columns and notes. */
export function print<T>(
  format: Format,
  { rows, columns, data, head = [], more, notes = [] }: Printed<T>,
): void {
  process.stdout.write(textOf());

  function textOf(): string {
    if (format === "json") return `${JSON.stringify(data, null, 2)}\n`;
    if (format === "yaml") return stringify(data);
    const shown = columns.filter(({ wide }) => format === "wide" || wide !== true);
    const above = head.length === 0 ? "" : `${head.join("\n")}\n\n`;
    return above + table(rows, shown, more) + notes.map((note) => `\n${note}\n`).join("");
  }
}

function table<T>(rows: readonly T[], columns: readonly Column<T>[], more?: readonly T[]): string {
  const cellsOf = (row: T) => columns.map(({ cell }) => cell(row));
  const cells = rows.map(cellsOf);
  const widths = columns.map(({ heading }, index) =>
    Math.max(heading.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  const line = (texts: readonly string[]) =>
    texts
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd();
  if (more !== undefined) return more.map((row) => `${line(cellsOf(row))}\n`).join("");
  const heading = line(columns.map((column) => column.heading));
  return `${[styleText("bold", heading), ...cells.map(line)].join("\n")}\n`;
}

/** The distance to `date` in its largest unit: "in 41 h", "3 min ago". */
export function relative(date: Date, now: Date): string {
  const ms = date.getTime() - now.getTime();
  const [amount, unit] = largestUnit(Math.abs(ms));
  return ms < 0 ? `${amount} ${unit} ago` : `in ${amount} ${unit}`;
}

function largestUnit(ms: number): [number, string] {
  if (ms >= 2 * 86_400_000) return [Math.floor(ms / 86_400_000), "d"];
  if (ms >= 2 * 3_600_000) return [Math.floor(ms / 3_600_000), "h"];
  if (ms >= 2 * 60_000) return [Math.floor(ms / 60_000), "min"];
  return [Math.floor(ms / 1_000), "s"];
}
