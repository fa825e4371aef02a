import { expect, it } from "vitest";
import { malformed } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import { pages } from "./pages.ts";

it("a list of objects that are too large for one answer is read in smaller pages, each object once", async () => {
  const names = Array.from({ length: 150 }, (_, index) => `o${index}`);
  const limits: number[] = [];
  const api = {
    request: ({ query = {} }: Parameters<KubeClient["request"]>[0]) => {
      const limit = Number(query["limit"]);
      limits.push(limit);
      if (limit > 10) return Promise.reject(malformed("an answer is longer than 16777216 bytes"));
      const from = Number(query["continue"] ?? 0);
      const items = names.slice(from, from + limit).map((name) => ({ metadata: { name } }));
      const rest = from + limit < names.length ? { continue: String(from + limit) } : {};
      return Promise.resolve({ metadata: { resourceVersion: "1", ...rest }, items });
    },
  } as unknown as Pick<KubeClient, "request">;
  const read: string[] = [];
  for await (const { items } of pages(api, { path: "/" }))
    read.push(...items.map(({ metadata }) => metadata.name));
  expect(read).toEqual(names);
  expect(limits.slice(0, 4)).toEqual([500, 62, 7, 7]);
});

it("a list of which not even one object is readable ends with the error", async () => {
  const api = { request: () => Promise.reject(malformed("an answer is longer than 16777216 bytes")) };
  await expect(pages(api, { path: "/" }).next()).rejects.toThrow("longer than");
});
