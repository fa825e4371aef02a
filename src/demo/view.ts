import { styleText } from "node:util";
import type { Status } from "../api/mesh-certificate.ts";
import type { Traffic } from "./client.ts";

/** One identity as the demo shows it. */
export interface Row {
  readonly name: string;
  readonly mesh: string;
  readonly status: Status | undefined;
  readonly rotations: number;
}

export interface Scene {
  readonly now: Date;
  readonly rows: readonly Row[];
  readonly rootRotations: number;
  readonly traffic: Traffic;
  readonly events: readonly string[];
}

const barWidth = 16;

/** The picture, at most 78 columns wide, without a final newline. */
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

function line({ name, mesh, status, rotations }: Row, now: Date): string {
  const { serialNumber, notAfter, roots = [], conditions = [] } = status ?? {};
  const start = `${name.padEnd(11)} ${mesh.padEnd(6)} ${(serialNumber?.slice(-10) ?? "-").padEnd(10)}`;
  const problem = conditions.find((condition) => condition.status === "False");
  if (problem !== undefined) {
    const more = problem.type === "SourceReady" ? ", the last good one stays" : "";
    return `${start}  ${styleText("yellow", problem.reason + more)}`;
  }
  const end = notAfter === undefined ? "" : secondsUntil(notAfter, now);
  return `${start}  ${renewal(status, now)}  ${end.padStart(5)}  ${String(roots.length).padStart(5)}  ${String(rotations).padStart(9)}`;
}

/** The time until the next leaf, as a shrinking bar and in seconds. */
function renewal({ notBefore, notAfter, renewalTime = notAfter }: Partial<Status> = {}, now: Date): string {
  if (notBefore === undefined || renewalTime === undefined) return " ".repeat(barWidth + 6);
  const [began, ends] = [Date.parse(notBefore), Date.parse(renewalTime)];
  const left = Math.max(0, ends - now.getTime()) / (ends - began || 1);
  const filled = Math.round(barWidth * Math.min(1, left));
  const bar = "█".repeat(filled) + "░".repeat(barWidth - filled);
  return `${styleText("green", bar)} ${secondsUntil(renewalTime, now).padStart(5)}`;
}

function secondsUntil(time: string, now: Date): string {
  return `${Math.max(0, Math.ceil((Date.parse(time) - now.getTime()) / 1_000))} s`;
}
