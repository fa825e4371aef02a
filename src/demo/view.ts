import { styleText } from "node:util";
import type { Traffic } from "./client.ts";

/** One identity as the demo shows it. */
export interface Row {
  readonly name: string;
  readonly mesh: string;
  readonly serialNumber: string | undefined;
  readonly notBefore: Date | undefined;
  readonly notAfter: Date | undefined;
  /** By when the mesh will have given the next leaf. */
  readonly renewalTime: Date | undefined;
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

const barWidth = 16;

/** The whole picture, at most 78 columns wide, without a final newline. */
export function draw({ now, rows, rootRotations, traffic, events }: Scene): string {
  const failed = `${traffic.failed} failed`;
  return [
    styleText("bold", "IDENTITY    MESH   SERIAL      NEXT LEAF                ENDS  ROOTS  ROTATIONS"),
    ...rows.map((row) => line(row, now)),
    "",
    `requests  ${traffic.requests - traffic.failed} ok, ${styleText(traffic.failed > 0 ? "red" : "green", failed)}` +
      `    root rotations  ${rootRotations}`,
    "",
    ...events.map((event) => styleText("dim", event)),
  ].join("\n");
}

function line(row: Row, now: Date): string {
  const { name, mesh, serialNumber, notAfter, roots, rotations, problem } = row;
  const start = `${name.padEnd(11)} ${mesh.padEnd(6)} ${(serialNumber?.slice(-10) ?? "-").padEnd(10)}`;
  if (problem !== undefined) return `${start}  ${styleText("yellow", problem)}`;
  const end = notAfter === undefined ? "" : secondsUntil(notAfter, now);
  return `${start}  ${renewal(row, now)}  ${end.padStart(5)}  ${String(roots).padStart(5)}  ${String(rotations).padStart(9)}`;
}

/** What is left until the next leaf: a bar that runs out, and the seconds. */
function renewal({ notBefore, notAfter, renewalTime = notAfter }: Row, now: Date): string {
  if (notBefore === undefined || renewalTime === undefined) return " ".repeat(barWidth + 6);
  const leftMs = Math.max(0, renewalTime.getTime() - now.getTime());
  const filled = Math.round(
    barWidth * Math.min(1, leftMs / (renewalTime.getTime() - notBefore.getTime() || 1)),
  );
  const bar = "█".repeat(filled) + "░".repeat(barWidth - filled);
  return `${styleText("green", bar)} ${secondsUntil(renewalTime, now).padStart(5)}`;
}

function secondsUntil(date: Date, now: Date): string {
  return `${Math.max(0, Math.ceil((date.getTime() - now.getTime()) / 1_000))} s`;
}
