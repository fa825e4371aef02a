import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { adapter } from "../../../adapters/consul/index.ts";
import type { ConnectionState, Credential } from "../../../src/mesh/adapter.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { watchOptions } from "../../fixtures/watch-options.ts";
import { openGate } from "../gate.ts";
import { startConsul } from "./agent.ts";
import { rotateRoot } from "./root.ts";

const leafLife = "80s";

describe("a real Consul that is away for longer than a back-off", () => {
  it.each(["grpc", "http"])("is found again over %s, without a herd", async (mode) => {
    const folder = await mkdtemp(join(tmpdir(), "attache-consul-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await using consul = await startConsul({ folder });
    await rotateRoot(consul, mode === "grpc" ? leafLife : "72h");
    await using gate = await openGate(mode === "grpc" ? consul.grpcPort : consul.port);
    const address = `http://127.0.0.1:${gate.port}`;
    const settings = mode === "grpc" ? { addresses: [address] } : { mode, address };
    const states: ConnectionState[] = [];
    await using mesh = await adapter.connect(adapter.settings.parse(settings), {
      name: "consul",
      clock: systemClock,
      logger: createLogger("silent"),
      env: {},
      connection: (state) => states.push(state),
    });

    const over = new AbortController();
    const latest = new Map<string, Credential>();
    const came: { readonly service: string; readonly at: number }[] = [];
    // At some 25 at once Consul's agent meets the limit on CSRs, and lets callers wait for minutes.
    const services = Array.from({ length: mode === "grpc" ? 60 : 20 }, (_, index) => `edge-${index}`);
    const failures: unknown[] = [];
    const watches = services.map(async (service) => {
      for await (const credential of mesh.watch({ service }, watchOptions(over.signal))) {
        if (latest.get(service)?.chain[0].fingerprint !== credential.chain[0].fingerprint) {
          came.push({ service, at: performance.now() });
        }
        latest.set(service, credential);
      }
    });
    for (const one of watches) one.catch((error: unknown) => !over.signal.aborted && failures.push(error));
    await expect.poll(() => latest.size, { timeout: 60_000 }).toBe(services.length);

    await gate.shut();
    await expect.poll(() => states.at(-1)).toMatchObject({ connected: false });
    // All of them will want another leaf.
    await rotateRoot(consul, mode === "grpc" ? leafLife : "72h");
    const before = new Map(latest);
    await setTimeout(3_000);
    expect(latest).toEqual(before);
    came.length = 0;

    await gate.open();
    const renewed = () =>
      services.filter(
        (service) => latest.get(service)?.bundle.length === 3 && latest.get(service)?.chain.length === 2,
      );
    await expect.poll(renewed, { timeout: 60_000 }).toHaveLength(services.length);
    expect(states.at(-1)).toEqual({ connected: true });
    expect(failures).toEqual([]);
    for (const { at } of came) {
      expect(came.filter((one) => one.at >= at && one.at < at + 250).length).toBeLessThan(
        services.length / 2,
      );
    }
    over.abort();
    await Promise.allSettled(watches);
  });
});
