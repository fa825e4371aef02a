/**
 * The thread in which a store does its short calls. The thread runs this very file, which therefore imports nothing
 * but what the thread needs, and is imported late: it is a chunk of its own in the bundle.
 */
import { parentPort, Worker, workerData } from "node:worker_threads";
import { folderCalls, type HeldRoot } from "./folder-calls.ts";
import { answer, type FolderAnswer, type FolderRequest } from "./transaction.ts";

/** What is sent to the thread, and comes back. */
export interface Numbered<T> {
  readonly number: number;
  readonly content: T;
}

const purpose = "attache-folder";

/** A thread that answers each `Numbered<FolderRequest>` by a `Numbered<FolderAnswer>`. */
export function startThread(root: HeldRoot): Worker {
  return new Worker(new URL(import.meta.url), {
    name: purpose,
    workerData: { purpose, root },
    env: {},
    // It holds one request at a time, and a request holds manifests of 2 MiB at most.
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  });
}

function serve(port: NonNullable<typeof parentPort>, root: HeldRoot): void {
  const calls = folderCalls(root);
  const reply = async ({ number, content }: Numbered<FolderRequest>) => {
    const answered: Numbered<FolderAnswer> = { number, content: await answer(content, calls) };
    port.postMessage(answered);
  };
  port.on("message", (request: Numbered<FolderRequest>) => void reply(request));
}

const data = workerData as { readonly purpose?: string; readonly root: HeldRoot } | null;
if (parentPort !== null && data?.purpose === purpose) serve(parentPort, data.root);
