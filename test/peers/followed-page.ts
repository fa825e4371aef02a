import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { blocksOf } from "../fixtures/markdown.ts";
import { type Guarded, startGuarded } from "./guarded.ts";

/**
 * A how-to, and a machine on which a user goes through it: its files in a folder, its commands on the PATH.
 */
export interface FollowedPage extends AsyncDisposable {
  readonly folder: string;
  /** The `index`th block of a language under the heading that begins so; -1 is the last one. */
  block(language: string, heading: string, index?: number): string;
  /**
   * Puts a command on the PATH, beside `attache`. @param command as a shell takes it; `"$@"` are its
   * arguments.
   */
  provide(name: string, command: string): Promise<void>;
  write(name: string, text: string): Promise<void>;
  /** Runs a script to its end; rejects if anything in it fails. */
  run(script: string): Promise<{ readonly stdout: string; readonly stderr: string }>;
  /** Starts a command that goes on, until the page is done with. */
  start(command: string): Guarded;
  /** What `attache inspect edge` says of each certificate in a role. */
  published(role: "leaf" | "root"): Promise<string[]>;
}

export interface Machine {
  /** Fills in what the page leaves to its reader: addresses, namespaces, places. */
  readonly fill: (text: string) => string;
  readonly env?: () => Readonly<Record<string, string>>;
}

const repository = join(import.meta.dirname, "../..");

/** @param name of `docs/howto/NAME.md`. */
export async function followPage(name: string, { fill, env = () => ({}) }: Machine): Promise<FollowedPage> {
  const blocks = blocksOf(await readFile(join(repository, "docs/howto", `${name}.md`), "utf8"));
  const folder = await mkdtemp(join(tmpdir(), "attache-howto-"));
  const bin = join(folder, "bin");
  const path = `${bin}:${process.env["PATH"] ?? ""}`;
  const started: Guarded[] = [];
  await mkdir(bin);

  async function provide(command: string, text: string): Promise<void> {
    await writeFile(join(bin, command), `#!/bin/sh\nexec ${text}\n`);
    await chmod(join(bin, command), 0o755);
  }

  async function run(script: string) {
    const options = {
      cwd: folder,
      env: { ...process.env, PATH: path, NO_COLOR: "1", ...env() },
    };
    return promisify(execFile)("bash", ["--norc", "-euo", "pipefail", "-c", fill(script)], options);
  }

  // Several may run on this machine at a time.
  const attache = `env ATTACHE_SERVER_LISTEN=127.0.0.1:0 "${process.execPath}" --conditions=development`;
  await provide("attache", `${attache} "${join(repository, "src/main.ts")}" "$@"`);
  return {
    folder,
    block(language, heading, index = 0) {
      const fitting = blocks.filter((one) => one.language === language && one.heading.startsWith(heading));
      const found = fitting.at(index);
      assert.ok(found, `the page has a block ${index} of ${language} under "${heading}…"`);
      return found.text;
    },
    provide,
    write: (file, text) => writeFile(join(folder, file), fill(text)),
    run,
    start(command) {
      const script = `cd "${folder}" && PATH="${path}" exec ${fill(command)}`;
      const guarded = startGuarded("bash", ["-c", script]);
      started.push(guarded);
      return guarded;
    },
    async published(role) {
      const { stdout } = await run("attache inspect edge --config attache.yaml -o wide");
      return stdout.split("\n").filter((line) => line.startsWith(`${role} `));
    },
    async [Symbol.asyncDispose]() {
      for (const guarded of started) await guarded[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

/** What a page takes for granted of attaché in a cluster. */
export const bareDeployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "attache" },
  spec: {
    selector: { matchLabels: { app: "attache" } },
    template: {
      metadata: { labels: { app: "attache" } },
      spec: { containers: [{ name: "attache", image: "attache" }] },
    },
  },
};
