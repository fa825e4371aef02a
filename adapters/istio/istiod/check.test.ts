import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { expect, it, onTestFinished, vi } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { versionsOf } from "./check.ts";

async function monitoring(answer: RequestListener): Promise<number> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

it("istiod's version is what its monitoring port says", async () => {
  const port = await monitoring(({ url }, response) =>
    response.end(url === "/version" ? "1.24.0-a1b2-Clean\n" : ""),
  );
  expect(await versionsOf({ host: "127.0.0.1" }, manualClock(), port)).toEqual(["1.24.0-a1b2-Clean"]);
});

it("istiod's version is not known where the port is closed, is of another program, or says nothing", async () => {
  const clock = manualClock();
  expect(await versionsOf({ host: "127.0.0.1" }, clock, 1)).toEqual([]);
  const other = await monitoring((_, response) => response.writeHead(404).end("not found"));
  expect(await versionsOf({ host: "127.0.0.1" }, clock, other)).toEqual([]);
  const asked = vi.fn();
  const silent = await monitoring(asked);
  const versions = versionsOf({ host: "127.0.0.1" }, clock, silent);
  await vi.waitFor(() => expect(asked).toHaveBeenCalled());
  await clock.advance(2_000);
  expect(await versions).toEqual([]);
});

it("istiod's version is read from the start of an answer without end", async () => {
  const endless = function* () {
    for (;;) yield "1.24.0-a1b2-Clean\n";
  };
  const port = await monitoring((_, response) => void Readable.from(endless()).pipe(response));
  const [version = ""] = await versionsOf({ host: "127.0.0.1" }, manualClock(), port);
  expect(version).toMatch(/^1\.24\.0-a1b2-Clean/);
});
