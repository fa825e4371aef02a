import { styleText } from "node:util";
import { stringify } from "yaml";
import { UsageError } from "./errors.ts";
import { type JsonPath, jsonPath } from "./jsonpath.ts";

/** Output formats without a template. */
const formats = ["table", "wide", "name", "json", "yaml"] as const;
type Format = (typeof formats)[number];

/** How a command prints. */
export type Output =
  { readonly format: Format } | { readonly format: "jsonpath"; readonly template: JsonPath };

/**
 * What `-o` says, as kubectl reads it.
 * @param hasNames whether the command prints objects, which `-o name` names
 * @throws UsageError
 */
export function outputOf(text: string, { hasNames = false } = {}): Output {
  const known = formats.filter((one) => hasNames || one !== "name");
  const format = known.find((one) => one === text);
  if (format !== undefined) return { format };
  const [name, template = ""] = text.split(/=(.*)/s);
  if (name !== "jsonpath") {
    throw new UsageError(`-o ${text}: there is no such format`, {
      remedy: `Name one of: ${known.join(", ")}, jsonpath=TEMPLATE.`,
    });
  }
  return { format: "jsonpath", template: jsonPath(template) };
}

/** Whether it is for people, and not for programs. */
export function isTable({ format }: Output): boolean {
  return format === "table" || format === "wide";
}

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
  /** `KIND.GROUP/NAME`, for `-o name`. */
  readonly nameOf?: (row: T) => string;
  /** Only the rows of a table. */
  readonly isBare?: boolean;
  /** Lines above the table. */
  readonly head?: readonly string[];
  /** Prints only these of `rows`, to continue a table that was printed before. */
  readonly more?: readonly T[];
  /** Paragraphs below the table. */
  readonly notes?: readonly string[];
}

/** Prints `rows`: programs get `data`, people the columns and notes. */
export function print<T>(output: Output, printed: Printed<T>): void {
  process.stdout.write(textOf(output, printed));
}

function textOf<T>(output: Output, printed: Printed<T>): string {
  const { rows, data, nameOf, more } = printed;
  switch (output.format) {
    case "json":
      return `${JSON.stringify(data, null, 2)}\n`;
    case "yaml":
      // A document of its own: others may follow.
      return more === undefined ? stringify(data) : `---\n${stringify(data)}`;
    case "jsonpath":
      return output.template(data);
    case "name":
      return (more ?? rows).map((row) => `${nameOf?.(row) ?? ""}\n`).join("");
    case "table":
    case "wide":
      return tables(output.format === "wide", printed);
  }
}

function tables<T>(isWide: boolean, printed: Printed<T>): string {
  const { rows, columns, isBare = false, head = [], more, notes = [] } = printed;
  const shown = columns.filter(({ wide }) => isWide || wide !== true);
  if (isBare) return table(rows, shown, more ?? rows);
  const above = head.length === 0 ? "" : `${head.join("\n")}\n\n`;
  return above + table(rows, shown, more) + notes.map((note) => `\n${note}\n`).join("");
}

/**
 * One line for each row, under a line of headings.
 * @param more only these of `rows`, without headings
 */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], more?: readonly T[]): string {
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
