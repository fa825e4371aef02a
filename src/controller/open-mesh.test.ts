import { describe, expect, it } from "vitest";
import { z } from "zod";
import { type Adapter, type ConnectionState, MeshError, systemClock } from "../mesh/adapter.ts";
import { createLogger } from "../telemetry/logger.ts";
import { watchOptions } from "../../test/fixtures/watch-options.ts";
import { openMesh } from "./open-mesh.ts";

describe("a mesh", () => {
  it("that is unreachable is reported once for each reason, and once when it is back", async () => {
    const seen: ConnectionState[] = [];
    const { mesh, report } = open((state) => seen.push(state));
    await mesh.check();
    const away = (problem: string): ConnectionState => ({
      connected: false,
      error: new MeshError("ATTACHE_MESH_UNAVAILABLE", problem),
    });
    const states = [
      away("no leader"),
      away("no leader"),
      away("no CA"),
      { connected: true },
      { connected: true },
    ];
    for (const state of states) report(state as ConnectionState);
    expect(seen).toEqual([states[0], states[2], states[3]]);
    expect(mesh.connection).toEqual({ connected: true });
  });

  it("names the place in the MeshCertificate of what its adapter does not take", async () => {
    const { mesh } = open(() => undefined);
    const { signal } = new AbortController();
    await expect(mesh.watch({ name: 7 }, watchOptions(signal))).rejects.toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      problem: expect.stringMatching(/^spec\.plugin\.name: /) as string,
      remedy: 'Write under `spec.plugin` what the adapter "files" wants to know of an identity.',
    });
  });
});

function open(onConnection: (state: ConnectionState) => void) {
  let report: (state: ConnectionState) => void = () => undefined;
  const adapter: Adapter<object, { name: string }> = {
    kind: "files",
    settings: z.object({}),
    identity: z.strictObject({ name: z.string() }),
    defaults: { retainMs: 0 },
    expected: ({ name }) => `spiffe://*/${name}`,
    connect(_settings, context) {
      report = (state) => context.connection(state);
      return Promise.resolve({
        watch: () => expect.unreachable(),
        check: () => Promise.resolve([]),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      });
    },
  };
  const context = { name: "files", clock: systemClock, logger: createLogger("silent"), env: {} };
  const mesh = openMesh(adapter, context, { settings: {}, source: "plugin", onConnection });
  return { mesh, report: (state: ConnectionState) => report(state) };
}
