import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import type { Access, Resource } from "../peers/kubernetes/rest.ts";

/** An object of a list or watch, which name no kind in a list. */
export interface Followed extends Resource {
  readonly spec?: unknown;
  readonly data?: Readonly<Record<string, string>>;
}

export interface Changed {
  /** `mappings`, … */
  readonly plural: string;
  /** What it was and is; `undefined`: it was not, or is no more. */
  readonly before: Followed | undefined;
  readonly after: Followed | undefined;
}

/**
 * Follows all objects under these paths through outages of the API server, and tells each change once. Shares
 * no code with attaché's own watches. Resolves once all are listed; what is there at first is reported, too.
 * @throws Error if they cannot be listed then.
 */
export async function follow(
  { server, ca, token }: Access,
  paths: readonly string[],
  tell: (change: Changed) => void,
): Promise<AsyncDisposable> {
  const dispatcher = new Agent({ connect: { ca }, connections: paths.length });
  const over = new AbortController();

  async function get(path: string, query: string) {
    const answer = await request(`${server}${path}?${query}`, {
      dispatcher,
      headers: { authorization: `Bearer ${token}` },
      signal: over.signal,
    });
    if (answer.statusCode !== 200) throw new Error(`GET ${path}: ${answer.statusCode}`);
    return answer.body;
  }

  async function followOne(path: string, listed: () => void): Promise<void> {
    const plural = path.split("/").at(-1) ?? "";
    const known = new Map<string, Followed>();
    let isListed = false;

    function set(uid: string, after: Followed | undefined): void {
      const before = known.get(uid);
      if (before?.metadata.resourceVersion === after?.metadata.resourceVersion) return;
      if (after === undefined) known.delete(uid);
      else known.set(uid, after);
      tell({ plural, before, after });
    }

    for (;;) {
      try {
        const list = (await (await get(path, "")).json()) as List;
        const there = new Map(list.items.map((object) => [object.metadata.uid, object]));
        for (const uid of [...known.keys()]) if (!there.has(uid)) set(uid, undefined);
        for (const [uid, object] of there) set(uid, object);
        isListed = true;
        listed();
        const from = list.metadata.resourceVersion;
        for await (const line of createInterface(await get(path, `watch=true&resourceVersion=${from}`))) {
          const { type, object } = JSON.parse(line) as WatchEvent;
          if (type === "ERROR") break;
          set(object.metadata.uid, type === "DELETED" ? undefined : object);
        }
      } catch (error) {
        if (over.signal.aborted) return;
        if (!isListed) throw error;
        await sleep(200);
      }
    }
  }

  const running: Promise<void>[] = [];
  await Promise.all(
    paths.map(
      (path) => new Promise<void>((listed, failed) => running.push(followOne(path, listed).catch(failed))),
    ),
  );
  return {
    async [Symbol.asyncDispose]() {
      over.abort();
      await Promise.all(running);
      await dispatcher.destroy();
    },
  };
}

interface List {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly Followed[];
}

interface WatchEvent {
  readonly type: string;
  readonly object: Followed;
}
