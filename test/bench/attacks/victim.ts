import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { imageEnvironment, imageFlags } from "../environment.ts";
import type { Probed } from "./probe.ts";

/** How one commit of attaché is run and what its objects are called. */
export interface Checkout {
  readonly folder: string;
  readonly kind: "MeshCertificate" | "MeshIdentity";
  /** Whether the probes can have a listener of their own. */
  readonly hasProbes: boolean;
}

export function checkoutAt(folder: string): Checkout {
  const isRenamed = existsSync(join(folder, "src/api/mesh-certificate.ts"));
  return { folder, kind: isRenamed ? "MeshCertificate" : "MeshIdentity", hasProbes: isRenamed };
}

/** What is measured while `attache run` goes on. */
export interface Measured extends Probed {
  readonly livezMaxMs: number;
  readonly livezFailed: number;
  readonly seconds: number;
}

/** One `attache run`. */
export interface Victim extends AsyncDisposable {
  /** Where any client sends requests, and where the kubelet does. */
  readonly ports: { readonly listen: number; readonly probes: number };
  measure(seconds: number): Promise<Measured>;
}

export async function startVictim(checkout: Checkout, folder: string, settings: object): Promise<Victim> {
  const [listen, own] = [await freePort(), await freePort()];
  const ports = { listen, probes: checkout.hasProbes ? own : listen };
  const server = {
    listen: `127.0.0.1:${listen}`,
    ...(checkout.hasProbes && { probes: `127.0.0.1:${own}` }),
  };
  const file = join(folder, "attache.yaml");
  await writeFile(file, JSON.stringify({ ...settings, server, log: { level: "error" } }));
  const child = spawn(
    process.execPath,
    [
      ...["--conditions=development", "--no-warnings", ...imageFlags],
      ...["--import", join(import.meta.dirname, "probe.ts")],
      ...[join(checkout.folder, "src/main.ts"), "run", "--config", file],
    ],
    {
      cwd: folder,
      env: { ...process.env, ...imageEnvironment },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    },
  );
  const log: string[] = [];
  child.stderr?.on("data", (text: Buffer) => {
    if (log.length < 100) log.push(text.toString());
  });
  const victim: Victim = {
    ports,
    async measure(seconds) {
      await ask(child, "reset");
      const end = performance.now() + seconds * 1000;
      let [livezMaxMs, livezFailed] = [0, 0];
      while (performance.now() < end && child.exitCode === null) {
        const { ms, isOk } = await livez(ports.probes);
        livezMaxMs = Math.max(livezMaxMs, ms);
        if (!isOk) livezFailed += 1;
        await setTimeout(50);
      }
      if (child.exitCode !== null) throw new Error(`attaché has ended: ${log.join("").slice(-2_000)}`);
      return { ...((await ask(child, "read")) as Probed), livezMaxMs, livezFailed, seconds };
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
  for (let tries = 0; !(await livez(ports.probes)).isOk; tries += 1) {
    if (child.exitCode !== null || tries > 300) throw new Error(`attaché does not start: ${log.join("")}`);
    await setTimeout(100);
  }
  return victim;
}

async function ask(child: ChildProcess, question: string): Promise<unknown> {
  child.send(question);
  const [answer] = (await once(child, "message")) as [unknown];
  return answer;
}

/** As the kubelet: a new connection each time. */
async function livez(port: number): Promise<{ readonly ms: number; readonly isOk: boolean }> {
  const startedAt = performance.now();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const asked = request({ host: "127.0.0.1", port, path: "/livez", timeout: 30_000, agent: false });
  asked.on("response", (response) =>
    response.resume().on("close", () => resolve(response.statusCode === 200)),
  );
  asked.on("error", () => resolve(false));
  asked.on("timeout", () => asked.destroy());
  asked.end();
  const isOk = await promise;
  return { isOk, ms: performance.now() - startedAt };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}
