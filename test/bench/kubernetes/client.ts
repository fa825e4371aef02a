import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import type { Access } from "../../peers/kubernetes/rest.ts";

/** The API in its barest form: the ceiling of what a client in this process reaches. */
export interface Client extends AsyncDisposable {
  readonly access: Access;
  /** The answer's text. @throws AssertionError unless it is of status 2xx. */
  send(method: Method, path: string, body?: object, contentType?: string): Promise<string>;
}

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** As many as attaché's own client has. */
export const connections = 32;

export const apply = "application/apply-patch+yaml";
export const merge = "application/merge-patch+json";

export function accessFile(folder: string): string {
  return join(folder, "access.json");
}

export async function connect(folder: string): Promise<Client> {
  const access = JSON.parse(await readFile(accessFile(folder), "utf8")) as Access;
  const { server, ca, token } = access;
  const dispatcher = new Agent({ connect: { ca }, connections, allowH2: false });
  return {
    access,
    async send(method, path, body, contentType = "application/json") {
      const headers = { authorization: `Bearer ${token}`, "content-type": contentType };
      const asked = { dispatcher, method, headers, ...(body && { body: JSON.stringify(body) }) };
      const answer = await request(`${server}${path}`, asked);
      const text = await answer.body.text();
      assert.ok(answer.statusCode < 300, `${method} ${path}: ${answer.statusCode} ${text}`);
      return text;
    },
    [Symbol.asyncDispose]: () => dispatcher.destroy(),
  };
}

/** Of this process. */
export function cpuSecondsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** `work` for each number below `count`, on all connections at once. */
export async function onAll(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: connections }, worker));
}
