import { once } from "node:events";
import type { RequestListener } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { MessageChannel, Worker } from "node:worker_threads";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { bytesInUse } from "../../test/fixtures/heap.ts";
import { serveHttp } from "../../test/fixtures/http-server.ts";
import { systemClock } from "../runtime/clock.ts";
import { openScraper, type ScraperOptions } from "./scraper.ts";

const membership = 'envoy_cluster_membership_total{envoy_cluster_name="web"} 1\n';
const leaf =
  'envoy_cluster_ssl_certificate_expiration_unix_time_seconds{envoy_tls_certificate="unnamed_cert_1",envoy_cluster_name="web"} 2000\n';
const text = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };

function scrapeFrom(url: string, options: Partial<ScraperOptions> = {}) {
  // Long enough for any machine, but where the test says otherwise.
  const scraper = openScraper({
    clock: systemClock,
    userAgent: "attache/test",
    timeoutMs: 60_000,
    ...options,
  });
  onTestFinished(() => scraper[Symbol.asyncDispose]());
  return scraper.scrape(`${url}/metrics`, new Set(["web"]), new AbortController().signal);
}

async function scrape(answer: RequestListener, options?: Partial<ScraperOptions>) {
  return scrapeFrom(await serveHttp(answer), options);
}

describe("a scrape", () => {
  it("reads the page of a pod", async () => {
    const page = await scrape((_, response) => response.writeHead(200, text).end(membership + leaf));
    expect(page.clusters).toEqual(new Map([["web", { leaves: [2_000], roots: [], hasTls: true }]]));
  });

  it("reads a page of 50 MB, and keeps none of it", { tags: ["thorough"] }, async () => {
    const filler = Buffer.from(
      'envoy_cluster_upstream_cx_total{envoy_cluster_name="other"} 12\n'.repeat(16_000),
    );
    const before = await bytesInUse();
    const page = await scrape((_, response) => {
      response.writeHead(200, text);
      let left = 50;
      const more = () => {
        while (left > 0) {
          left -= 1;
          if (!response.write(filler)) return void response.once("drain", more);
        }
        response.end(membership + leaf);
      };
      more();
    });
    expect(page.clusters.get("web")?.leaves).toEqual([2_000]);
    // The sockets' last buffers are freed in a later turn.
    const kept = async () => expect((await bytesInUse()) - before).toBeLessThan(25_000_000);
    await vi.waitFor(kept, { interval: 200 });
  });

  it("ends at a page without an end", { tags: ["heavy"] }, async () => {
    const filler = Buffer.alloc(1024 * 1024, "# nothing\n");
    const answer: RequestListener = (_, response) => {
      response.writeHead(200, text);
      const more = () => {
        while (response.write(filler));
        response.once("drain", more);
      };
      more();
    };
    await expect(scrape(answer, { maxBytes: 10_000_000 })).rejects.toThrow(
      /ATTACHE_INGRESS_MALFORMED.* more than \d+ bytes/,
    );
  });

  it("ends when the time is up, however the pod stalls", async () => {
    const clock = manualClock();
    const { promise: asked, resolve } = Promise.withResolvers<undefined>();
    const scraping = scrape(
      (_, response) => {
        response.writeHead(200, text).write(membership);
        resolve(undefined);
      },
      { clock, timeoutMs: 10_000 },
    );
    const refused = expect(scraping).rejects.toThrow("ATTACHE_INGRESS_TIMEOUT");
    await asked;
    await clock.advance(10_000);
    await refused;
  });

  it.each<[string, RequestListener, string]>([
    ["a redirect", (_, response) => response.writeHead(302, { location: "/" }).end(), "status 302"],
    ["an error", (_, response) => response.writeHead(503, text).end("no\n"), "status 503"],
    [
      "a web page",
      (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>"),
      "answers with text/html",
    ],
    ["no type", (_, response) => response.writeHead(200).end(membership), "answers with nothing"],
    [
      "metrics of another program",
      (_, response) => response.writeHead(200, text).end("up 1\n"),
      "none is Envoy's",
    ],
    ["nothing", (_, response) => response.writeHead(200, text).end(), "none is Envoy's"],
    [
      "half a page",
      (_, response) => response.writeHead(200, text).end(membership + leaf.slice(0, 40)),
      "breaks off in the middle of a line",
    ],
  ])("does not take %s for Emissary", async (_, answer, problem) => {
    await expect(scrape(answer)).rejects.toThrow(new RegExp(`ATTACHE_INGRESS_MALFORMED.*${problem}`));
  });

  it("does not take what speaks no HTTP for Emissary", async () => {
    const server = createServer((socket) => void socket.end("220 smtp ready\r\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    await expect(scrapeFrom(`http://127.0.0.1:${port}`)).rejects.toThrow("ATTACHE_INGRESS_MALFORMED");
  });

  it("believes nothing of a page that breaks off", async () => {
    const answer: RequestListener = (_, response) => {
      response.writeHead(200, text).write(membership);
      setImmediate(() => response.destroy());
    };
    await expect(scrape(answer)).rejects.toThrow("ATTACHE_INGRESS_UNREACHABLE");
  });

  it("says that no server listens", async () => {
    await expect(scrapeFrom("http://127.0.0.1:1")).rejects.toThrow(
      "ATTACHE_INGRESS_UNREACHABLE: http://127.0.0.1:1/metrics cannot be reached (ECONNREFUSED)",
    );
  });

  it("says that a connection is not made in time, as where a NetworkPolicy is in the way", async () => {
    // Nothing takes connections out of its queue, which has room for one or two.
    const text = `
      const { workerData } = require("node:worker_threads");
      require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
        workerData.port.postMessage(this.address().port);
        setImmediate(() => Atomics.wait(workerData.never, 0, 0));
      });`;
    const never = new Int32Array(new SharedArrayBuffer(4));
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(text, {
      eval: true,
      workerData: { never, port: port2 },
      transferList: [port2],
    });
    onTestFinished(async () => {
      Atomics.notify(never, 0);
      port1.close();
      await worker.terminate();
    });
    const [port] = (await once(port1, "message")) as [number];
    const fillers = Array.from({ length: 4 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
    onTestFinished(() => fillers.forEach((socket) => socket.destroy()));
    await Promise.race(fillers.map((socket) => once(socket, "connect")));
    await using scraper = openScraper({
      clock: systemClock,
      userAgent: "attache/test",
      connectTimeoutMs: 200,
    });
    const scraping = scraper.scrape(`http://127.0.0.1:${port}`, new Set(), new AbortController().signal);
    await expect(scraping).rejects.toThrow(/ATTACHE_INGRESS_UNREACHABLE.*\(UND_ERR_CONNECT_TIMEOUT\)/);
  });

  it("ends with who has asked for it", async () => {
    const over = new AbortController();
    const url = await serveHttp(() => over.abort(new Error("enough")));
    await using scraper = openScraper({ clock: systemClock, userAgent: "attache/test" });
    await expect(scraper.scrape(url, new Set(), over.signal)).rejects.toThrow("enough");
  });
});
