import { styleText } from "node:util";
import type { Traffic } from "./client.ts";

/** One identity as the demo shows it. */
export interface Row {
  readonly name: string;
  readonly mesh: string;
  readonly serialNumber: string | undefined;
  readonly notBefore: Date | undefined;
  readonly notAfter: Date | undefined;
  readonly roots: number;
  readonly rotations: number;
  /** What is wrong, if anything is. */
  readonly problem: string | undefined;
}

export interface Scene {
  readonly now: Date;
  readonly rows: readonly Row[];
  readonly rootRotations: number;
  readonly traffic: Traffic;
  readonly events: readonly string[];
}

const barWidth = 24;

/** The whole picture, without a final newline. */
export function draw({ now, rows, rootRotations, traffic, events }: Scene): string {
  const failed = `${traffic.failed} failed`;
  return [
    styleText("bold", "IDENTITY     MESH    SERIAL        LIFE OF THE LEAF                 ROOTS  ROTATIONS"),
    ...rows.map((row) => line(row, now)),
    "",
    `requests  ${traffic.requests - traffic.failed} ok, ${styleText(traffic.failed > 0 ? "red" : "green", failed)}` +
      `    root rotations  ${rootRotations}`,
    "",
    ...events.map((event) => styleText("dim", event)),
  ].join("\n");
}

function line(
  { name, mesh, serialNumber, notBefore, notAfter, roots, rotations, problem }: Row,
  now: Date,
): string {
  const start = `${name.padEnd(12)} ${mesh.padEnd(7)} ${(serialNumber?.slice(-10) ?? "-").padEnd(12)}`;
  if (problem !== undefined) return `${start}  ${styleText("yellow", problem)}`;
  return `${start}  ${life(notBefore, notAfter, now)}  ${String(roots).padStart(5)}  ${String(rotations).padStart(9)}`;
}

/** What is left of the leaf's life: a bar that runs out, and the seconds. */
function life(notBefore: Date | undefined, notAfter: Date | undefined, now: Date): string {
  if (notBefore === undefined || notAfter === undefined) return " ".repeat(barWidth + 6);
  const leftMs = Math.max(0, notAfter.getTime() - now.getTime());
  const filled = Math.round(barWidth * Math.min(1, leftMs / (notAfter.getTime() - notBefore.getTime())));
  const bar = "█".repeat(filled) + "░".repeat(barWidth - filled);
  const color = filled > barWidth / 2 ? "green" : filled > barWidth / 6 ? "yellow" : "red";
  return `${styleText(color, bar)} ${`${Math.ceil(leftMs / 1_000)} s`.padStart(5)}`;
}
