import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Overview } from "../../../src/console/page-data.ts";

interface Reply {
  readonly status: number;
  readonly body: string;
  /** `Access-Control-Allow-Origin`. */
  readonly allowsOrigin: string | null;
}

interface Feed extends AsyncDisposable {
  next(): Promise<Overview>;
  /** @throws AssertionError if the server does not end it within `ms`. */
  untilEnd(ms: number): Promise<void>;
}

/** The console of an attaché on this machine, as a browser asks it. */
export interface Console {
  /** What it has answered, feeds included. */
  readonly replies: readonly string[];
  /** Of a feed only that it begins; `fetch` sends no other `Host`. */
  get(
    path: string,
    token?: string,
    headers?: Readonly<Record<string, string>>,
    method?: string,
  ): Promise<Reply>;
  follow(token?: string): Promise<Feed>;
  /** The first view as it is now. */
  overview(): Promise<Overview>;
}

export function openedConsole(port: number): Console {
  const replies: string[] = [];

  async function send(
    path: string,
    { token, method = "GET", headers = {} }: SendOptions,
  ): Promise<IncomingMessage> {
    const asked = request({ host: "127.0.0.1", port, path, method, agent: false });
    for (const [name, value] of Object.entries(headers)) asked.setHeader(name, value);
    if (token !== undefined) asked.setHeader("authorization", `Bearer ${token}`);
    asked.end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    replies.push(JSON.stringify(response.headers));
    return response;
  }

  async function follow(token?: string): Promise<Feed> {
    const response = await send("/api/events", { token });
    assert.equal(response.statusCode, 200);
    const parts = response.setEncoding("utf8").iterator() as AsyncIterableIterator<string, undefined>;
    let pending = "";
    return {
      async next() {
        while (!pending.includes("\n\n")) {
          const { value = "", done } = await parts.next();
          assert.notEqual(done, true, "the feed has ended");
          replies.push(value);
          pending += value;
        }
        const [message = "", ...rest] = pending.split("\n\n");
        pending = rest.join("\n\n");
        return JSON.parse(message.replace("data: ", "")) as Overview;
      },
      async untilEnd(ms) {
        const over = new AbortController();
        const late = sleep(ms, "late", { signal: over.signal });
        const ended = (async () => {
          while ((await parts.next()).done !== true);
          return "ended";
        })();
        assert.equal(await Promise.race([ended, late]), "ended");
        over.abort();
        await late.catch(() => undefined);
      },
      [Symbol.asyncDispose]() {
        response.destroy();
        return Promise.resolve();
      },
    };
  }

  return {
    replies,
    follow,
    async get(path, token, headers, method) {
      const response = await send(path, { token, headers, method });
      const { statusCode: status = 0, headers: answered } = response;
      const isFeed = answered["content-type"]?.startsWith("text/event-stream") === true;
      const body = isFeed ? "" : await text(response);
      response.destroy();
      replies.push(body);
      return { status, body, allowsOrigin: answered["access-control-allow-origin"] ?? null };
    },
    async overview() {
      await using feed = await follow();
      return await feed.next();
    },
  };
}

interface SendOptions {
  readonly token?: string | undefined;
  readonly method?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}
