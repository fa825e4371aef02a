import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Rest, rest } from "../kubernetes/rest.ts";
import { writeDaemons } from "./daemons.ts";
import { archiveImage, attacheImage, type ImageName } from "./images.ts";
import { prefix } from "./machine.ts";

const execute = promisify(execFile);

/** Only a failure takes that long. */
const deadlineMs = 120_000;

/** A real node, the only one of its cluster, as any process of the machine sees it. */
export interface Node {
  readonly folder: string;
  /** With the rights of an administrator. */
  readonly api: Rest;
  /** Runs a program in the node. @throws Error with its standard error */
  readonly run: (...command: readonly string[]) => Promise<string>;
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
  readonly helm: (...args: readonly string[]) => Promise<string>;
  /** The command in words for a shell, that {@link run} would run. */
  command(...command: readonly string[]): Promise<string[]>;
  /** Starts a program in the node that goes on until the node ends; its output is kept as log/NAME. */
  start(name: string, ...command: readonly string[]): Promise<void>;
  /** Makes an image available to pods. */
  load(...names: readonly (ImageName | "attache")[]): Promise<void>;
  /** Applies files of manifests/. */
  apply(...names: readonly string[]): Promise<void>;
  /** Kills all of it at once; its disk stays, and it starts again. */
  crash(): Promise<void>;
}

export function nodeAt(folder: string): Node {
  const api = rest({ server: "http://localhost", ca: "", token: "", socketPath: join(folder, "api.sock") });
  const kubeconfig = `--kubeconfig=${join(folder, "admin.kubeconfig")}`;
  const enter = `for file in /sys/fs/cgroup/*/cgroup.procs; do echo 0 > $file; done; . ${folder}/environment.sh; exec "$@"`;

  async function command(...words: readonly string[]): Promise<string[]> {
    const pid = (await readFile(join(folder, "pid"), "utf8")).trim();
    const namespaces = ["-m", "-u", "-i", "-n", "-p", "-C"];
    return ["nsenter", "-t", pid, ...namespaces, "--wd=/", "bash", "-c", enter, "bash", ...words];
  }

  async function run(...words: readonly string[]): Promise<string> {
    const [program = "", ...args] = await command(...words);
    return (await execute(program, args, { maxBuffer: 2 ** 26 })).stdout;
  }

  const kubectl = (...args: readonly string[]) => run("kubectl", kubeconfig, ...args);
  return {
    folder,
    api,
    command,
    run,
    kubectl,
    async start(name, ...words) {
      const [program = "", ...args] = await command(...words);
      const log = openSync(join(folder, "log", name), "a");
      spawn(program, args, { stdio: ["ignore", log, log], detached: true }).unref();
      closeSync(log);
    },
    helm: (...args) => run("helm", kubeconfig, ...args),
    async load(...names) {
      await Promise.all(
        names.map(async (name) => {
          const own = join(folder, `${name}.tar`);
          if (name !== "attache") await archiveImage(name, own);
          await run(
            "ctr",
            "-n",
            "k8s.io",
            "images",
            "import",
            name === "attache" ? await attacheImage() : own,
          );
          await rm(own, { force: true });
        }),
      );
    },
    async apply(...names) {
      const files = names.map((name) => join(import.meta.dirname, "manifests", `${name}.yaml`));
      await kubectl("apply", "--server-side", ...files.flatMap((file) => ["-f", file]));
    },
    async crash() {
      process.kill(Number(await readFile(join(folder, "pid"), "utf8")), "SIGKILL");
    },
  };
}

export interface RunningNode extends Node, AsyncDisposable {}

/** Starts a node, and waits until it is Ready. It ends with this process at the latest. */
export async function startNode(): Promise<RunningNode> {
  const folder = await mkdtemp(join(tmpdir(), prefix));
  await writeDaemons(folder);
  // A signal to the process group of the tests does not reach it: it has to clean up.
  const machine = spawn(process.execPath, [join(import.meta.dirname, "machine.ts"), folder], {
    stdio: ["pipe", "inherit", "inherit"],
    detached: true,
  });
  const ended = once(machine, "exit");
  const node = nodeAt(folder);
  const end = async () => {
    await node.api[Symbol.asyncDispose]();
    machine.stdin.end();
    await ended;
  };
  try {
    const endsAt = Date.now() + deadlineMs;
    while (!(await isReady(node))) {
      if (machine.exitCode !== null) throw new Error("the machine of the node ended");
      if (Date.now() > endsAt) throw new Error(`the node does not become Ready:\n${await logs(folder)}`);
      await sleep(100);
    }
  } catch (error) {
    await end();
    throw error;
  }
  return { ...node, [Symbol.asyncDispose]: end };
}

interface Status {
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

async function isReady({ api }: Node): Promise<boolean> {
  const { status, body } = await api
    .call("GET", "/api/v1/nodes/attache-node")
    .catch(() => ({ status: 0, body: undefined }));
  if (status !== 200) return false;
  const { conditions } = (body as Status).status;
  return conditions.some((one) => one.type === "Ready" && one.status === "True");
}

/** The end of what each program has written. */
async function logs(folder: string): Promise<string> {
  const texts: string[] = [];
  for (const name of await readdir(join(folder, "log"))) {
    const text = await readFile(join(folder, "log", name), "utf8");
    texts.push(`--- ${name}\n${text.slice(-2_000)}`);
  }
  return texts.join("\n");
}
