import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";

it(
  "runs attaché with flags that Node takes, and opens no debugger at SIGUSR1",
  { tags: ["process"] },
  async () => {
    const dockerfile = await readFile(join(import.meta.dirname, "Dockerfile"), "utf8");
    const [, entry = "[]"] = /^ENTRYPOINT (.*)$/m.exec(dockerfile) ?? [];
    const [node, ...args] = JSON.parse(entry) as string[];
    expect([node, args.at(-1)]).toEqual(["node", "/attache/dist/main.js"]);
    // The debugger listens within milliseconds of the signal; the third line comes much later.
    const script = `
      const { url } = require("node:inspector");
      const tell = () => console.log(String(url()));
      process.kill(process.pid, "SIGUSR1");
      setInterval(tell, 200);
    `;
    const child = spawn(process.execPath, [...args.slice(0, -1), "--eval", script], { env: {} });
    try {
      const lines: string[] = [];
      for await (const line of createInterface(child.stdout)) if (lines.push(line) === 3) break;
      expect(lines).toEqual(["undefined", "undefined", "undefined"]);
    } finally {
      child.kill("SIGKILL");
    }
  },
);
