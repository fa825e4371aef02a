import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { sbom, withInterpreter } from "./image-tree.ts";

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

describe("the image", () => {
  it("needs no shell, no npm and no root in its base", async () => {
    const dockerfile = await readFile(join(import.meta.dirname, "Dockerfile"), "utf8");
    const [, last = ""] = dockerfile.split(/^FROM \$\{BASE\}$/m);
    const instructions = [...last.matchAll(/^([A-Z]+) /gm)].map(([, one]) => one);
    expect(instructions).toContain("USER");
    expect(instructions).not.toContain("RUN");
    expect(last).toContain("USER 65532:65532");
    expect(withInterpreter("#!/usr/bin/env node\nrun();\n")).toBe("#!/usr/local/bin/node\nrun();\n");
  });

  it("names its packages as CycloneDX, the same each time", { tags: ["thorough"] }, async () => {
    const text = await sbom();
    const { dependencies } = JSON.parse(
      await readFile(join(import.meta.dirname, "../package.json"), "utf8"),
    ) as { readonly dependencies: Readonly<Record<string, string>> };
    const { bomFormat, components } = JSON.parse(text) as {
      readonly bomFormat: string;
      readonly components: readonly { readonly name: string; readonly group?: string }[];
    };
    expect(bomFormat).toBe("CycloneDX");
    const names = components.map(({ name, group }) => [group, name].filter(Boolean).join("/"));
    expect(names).toEqual(expect.arrayContaining(Object.keys(dependencies)));
    expect(names).not.toContain("vitest");
    expect(await sbom()).toBe(text);
  });
});
