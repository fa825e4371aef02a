/**
 * `npm run bench:views`: how long `/metrics` and the first view of the console take with 10,000 identities, in a
 * process of their own and in Chromium. Prints each figure beside its target.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Browser, chromium } from "playwright-core";
import type { Probed } from "../attacks/probe.ts";
import { executablePath } from "../../peers/picture.ts";
import { imageEnvironment, imageFlags } from "../environment.ts";

const count = 10_000;
const rounds = 5;
const pages = 10;

const child = spawn(
  process.execPath,
  [
    ...["--conditions=development", "--no-warnings", ...imageFlags],
    ...["--import", join(import.meta.dirname, "../attacks/probe.ts")],
    ...[join(import.meta.dirname, "server.ts"), String(count)],
  ],
  { env: { ...process.env, ...imageEnvironment }, stdio: ["ignore", "inherit", "inherit", "ipc"] },
);
const [ports] = (await once(child, "message")) as [{ readonly metrics: number; readonly console: number }];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  await measureMetrics();
  await measureConsole(browser);
} finally {
  await browser.close();
  child.kill();
}

async function measureMetrics(): Promise<void> {
  const found = await inTurns(async () => {
    const answer = await fetch(`http://127.0.0.1:${ports.metrics}/metrics`);
    return (await answer.arrayBuffer()).byteLength;
  });
  print(`/metrics with ${count} identities`, `${found.ms.toFixed(0)} ms`, "300 ms");
  print("  event loop, at most", `${found.loopMs.toFixed(0)} ms`, "50 ms");
  print("  bytes", `${(found.value / 1e6).toFixed(1)} MB`, "");
}

async function measureConsole(chrome: Browser): Promise<void> {
  const url = `http://127.0.0.1:${ports.console}/`;
  const found = await inTurns(async () => {
    const page = await chrome.newPage();
    await page.goto(url);
    await page.getByRole("button", { name: `all ${count}` }).waitFor();
    const bytes = await page.evaluate<number>(
      "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.transferSize, 0)",
    );
    await page.close();
    return bytes;
  });
  print(`first view of the console with ${count}`, `${found.ms.toFixed(0)} ms`, "1000 ms");
  print("  event loop, at most", `${found.loopMs.toFixed(0)} ms`, "");
  print("  bytes", `${(found.value / 1e6).toFixed(1)} MB`, "");
  // What one page makes the process keep is there before.
  await (await chrome.newPage()).goto(url);
  const before = await settledRss();
  for (let opened = 1; opened < pages; opened += 1) await (await chrome.newPage()).goto(url);
  const after = await settledRss();
  print(`RSS for ${pages - 1} more open pages`, `${(after - before).toFixed(1)} MB`, "5 MB");
}

async function settledRss(): Promise<number> {
  await sleep(8_000);
  return (await ask("read")).rssMb;
}

/** The median of the times, and the worst of the event loop. */
async function inTurns(look: () => Promise<number>) {
  // The first compiles the code.
  let value = await look();
  await ask("reset");
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    // A page of metrics is served again for a second.
    await sleep(1_500);
    const began = performance.now();
    value = await look();
    times.push(performance.now() - began);
  }
  const { loopMaxMs: loopMs } = await ask("read");
  return { value, loopMs, ms: times.toSorted((one, other) => one - other)[Math.floor(rounds / 2)] ?? 0 };
}

async function ask(question: "reset" | "read", of: ChildProcess = child): Promise<Probed> {
  of.send(question);
  const [answer] = (await once(of, "message")) as [Probed];
  return answer;
}

function print(what: string, value: string, target: string): void {
  process.stdout.write(
    `${what.padEnd(48)} ${value.padStart(10)}  ${target === "" ? "" : `target ${target}`}\n`,
  );
}
