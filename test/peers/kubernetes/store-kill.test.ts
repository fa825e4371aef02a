import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import type { Manifest } from "../../../src/render/manifest.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { sorted } from "../../conformance/store-scenario.ts";
import { cluster } from "./cluster.ts";
import type { StopAt } from "./stopping-publisher.ts";
import { runStore, type StoreRun } from "./store-run.ts";

/** Has another process do the work, and kills it before its next write after `doom.writes`. */
async function killed(
  { cluster: { access }, namespace }: StoreRun,
  doom: Pick<StopAt, "version" | "writes">,
) {
  const program = join(import.meta.dirname, "stopping-publisher.ts");
  const child = spawn(
    process.execPath,
    ["--conditions=development", program, JSON.stringify({ access, namespace, ...doom } satisfies StopAt)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = once(child, "exit");
  const output: unknown[] = await Promise.race([once(child.stdout, "data"), ended]);
  expect(String(output[0])).toBe("stopped\n");
  child.kill("SIGKILL");
  await ended;
}

/** What is there of each role: the version of the CA and of the leaf, and whether the context is. */
async function published({ peer }: StoreRun): Promise<string> {
  const objects = await peer.objects();
  const of = (suffix: string) => objects.find(({ metadata }) => metadata.name === `storefront${suffix}`);
  return [
    versionIn(of("-mesh-ca")),
    versionIn(of("-mesh-cert")),
    of("") === undefined ? "-" : "context",
  ].join(" ");
}

function versionIn(manifest: Manifest | undefined): string {
  if (manifest?.kind !== "Secret") return "-";
  const { "tls.crt": text = "", "tls.key": key } = manifest.data;
  const version = Buffer.from(text, "base64").toString().split(" ")[1] ?? "?";
  // A pair that is torn would show here.
  if (key !== undefined) expect(Buffer.from(key, "base64").toString()).toBe(`key ${version}`);
  return version;
}

describe("a process that is killed between two writes", () => {
  it.concurrent.each([
    [0, "- - -", 3],
    [1, "- - -", 3],
    [2, "1 - -", 2],
    [3, "1 1 -", 1],
  ])("of a first publication, after %i of them: a successor completes it", async (writes, left, due) => {
    await using run = await runStore(await cluster());
    const identity = await run.put("storefront");
    await run.stop();
    await killed(run, { version: "1", writes });
    expect(await published(run)).toBe(left);
    await run.restart();
    const target = targetOf(identity, "1");
    expect(await run.store.apply((await run.events.next("identity")).identity, target)).toEqual({
      writes: due,
    });
    expect(sorted(await run.peer.objects())).toEqual(sorted(target));
  });

  it.concurrent.each([
    [0, "1 1 context", 2],
    [1, "2 1 context", 1],
  ])("of a rotation, after %i of them: the union of roots comes first", async (writes, left, due) => {
    await using run = await runStore(await cluster());
    const identity = await run.put("storefront");
    await run.store.apply(identity, targetOf(identity, "1"));
    await run.stop();
    await killed(run, { version: "2", writes });
    expect(await published(run)).toBe(left);
    await run.restart();
    const target = targetOf(identity, "2");
    expect(await run.store.apply((await run.events.next("identity")).identity, target)).toEqual({
      writes: due,
    });
    expect(sorted(await run.peer.objects())).toEqual(sorted(target));
  });

  it.concurrent.each([
    [0, "1 1 context"],
    [1, "1 1 -"],
    [2, "1 - -"],
    [3, "- - -"],
  ])("of a withdrawal, after %i of them: a successor completes it", async (writes, left) => {
    await using run = await runStore(await cluster());
    const identity = await run.put("storefront");
    await run.store.apply(identity, targetOf(identity, "1"));
    const path = pathOf(resources.meshCertificates, { namespace: run.namespace, name: "storefront" });
    await run.cluster.admin.delete(path);
    await run.stop();
    await killed(run, { writes });
    expect(await published(run)).toBe(left);
    await run.restart();
    await run.store.withdraw((await run.events.next("gone")).identity);
    expect(await run.peer.objects()).toEqual([]);
    expect((await run.cluster.admin.call("GET", path)).status).toBe(404);
  });
});
