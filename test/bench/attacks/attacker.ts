/** A thread: prepares the attack that `workerData` names, and begins it at a message with the ports. */
import { parentPort, workerData } from "node:worker_threads";
import { attacks } from "./attacks.ts";
import type { Checkout, Victim } from "./victim.ts";

export interface AttackerData {
  readonly attack: string;
  readonly folder: string;
  readonly kind: Checkout["kind"];
}

const { attack, folder, kind } = workerData as AttackerData;
const prepared = await attacks[attack]?.(folder, { kind });
parentPort?.on("message", (ports: Victim["ports"]) => {
  void Promise.resolve(prepared?.begin(ports)).then((remark) =>
    parentPort?.postMessage(typeof remark === "string" ? remark : ""),
  );
});
parentPort?.postMessage(prepared?.settings);
