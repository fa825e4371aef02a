import { dirname, join } from "node:path";

/** The result of a demo, as `attache demo --json` prints it. */
export interface Summary {
  readonly seconds: number;
  readonly identities: number;
  /** Leaves that were published after the first. */
  readonly rotations: number;
  /** Changes of the roots that meshes sign with. */
  readonly rootRotations: number;
  /** How often a server of a mesh was killed; 0 without `--chaos`. */
  readonly kills: number;
  readonly requests: number;
  readonly failed: number;
  readonly reasons: readonly string[];
  readonly writes: number;
  /** Writes that did not change the content of a file. */
  readonly noopWrites: number;
  /** Where the published files are; absent where they went with the demo. */
  readonly directory?: string;
}

/** Whether there were requests and none failed. */
export function isSuccess({ requests, failed }: Summary): boolean {
  return failed === 0 && requests > 0;
}

export function summaryText(summary: Summary): string {
  const { seconds, identities, rotations, rootRotations, kills, requests, failed, reasons } = summary;
  const { writes, noopWrites, directory } = summary;
  return [
    `${failed === 0 ? "No request failed" : `${failed} REQUESTS FAILED`} in ${seconds} s: ` +
      `${count(requests, "request")}, each with a TLS handshake of its own,`,
    `through ${count(rotations, "rotation")} of ${identities} leaves and ${rootRotations} of the meshes' roots` +
      `${kills > 0 ? `, with a mesh killed ${count(kills, "time")}` : ""}.`,
    ...reasons.map((reason) => `  failed: ${reason}`),
    `${count(writes, "file")} written, ${noopWrites === 0 ? "none" : noopWrites} redundant.`,
    "",
    ...(directory === undefined
      ? ["Keep the published files and the settings with --directory PATH."]
      : [
          `The published files:  ${directory}`,
          `The settings:         ${join(dirname(directory), "attache.yaml")}`,
        ]),
    "",
  ].join("\n");
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
