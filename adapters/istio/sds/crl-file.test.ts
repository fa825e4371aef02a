import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { createCrl, crlPem } from "../../../test/fixtures/crl.ts";
import { createRoot } from "../../../test/fixtures/pki.ts";
import type { Crls } from "../../../src/credentials/crl.ts";
import { followCrlFile } from "./crl-file.ts";

it("a file with revocation lists is followed, and what is wrong with it is reported", async () => {
  const folder = await mkdtemp(join(tmpdir(), "attache-crl-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "ca-crl.pem");
  const clock = manualClock();
  const over = new AbortController();
  const seen: Crls[] = [];
  const ended = followCrlFile({
    path,
    clock,
    signal: over.signal,
    received: ({ crls }) => crls !== undefined && seen.push(crls),
  });
  const next = async (count: number) => {
    await vi.waitFor(() => expect([seen.length, clock.sleeps.length]).toEqual([count, 1]));
    return seen.at(-1);
  };
  expect((await next(1))?.problems).toEqual([expect.stringContaining("cannot be read (ENOENT)")]);
  await writeFile(path, crlPem(createCrl(await createRoot())));
  await clock.advance(30_000);
  expect(await next(2)).toMatchObject({ lists: { length: 1 }, problems: [] });
  await clock.advance(30_000);
  await next(2);
  await rm(path);
  await clock.advance(30_000);
  expect((await next(3))?.lists).toEqual([]);
  over.abort(new Error("over"));
  await expect(ended).rejects.toThrow("over");
});
