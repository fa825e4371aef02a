import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openGate } from "../gate.ts";
import { startConsul } from "./agent.ts";
import { watch } from "./watch.ts";

describe("a real Consul that comes back without its memory", () => {
  it("gives a leaf and the root of its new CA, though its indexes begin again", async () => {
    const folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await using before = await startConsul({ folder });
    await using after = await startConsul({ folder });
    for (let index = 0; index < 100; index += 1) await before.call("PUT", `/kv/${index}`, "higher");
    await using gate = await openGate(before.port);
    await using edge = await watch({ address: `127.0.0.1:${gate.port}` }, "edge");
    const first = await edge.next();

    await gate.shut();
    await gate.open(after.port);
    const second = await edge.next();
    expect(second.chain[0].issuer).not.toBe(first.chain[0].issuer);
    expect(second.bundle.map(String)).not.toEqual(first.bundle.map(String));
    expect(edge.states.at(-1)).toEqual({ connected: true });
  });
});
