import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

interface StoredObject {
  readonly metadata: Readonly<Record<string, unknown>> & {
    readonly name: string;
    readonly namespace: string;
  };
  readonly [field: string]: unknown;
}

/**
 * As much of an API server as one `attache run` needs: lists and watches that begin with what there is,
 * objects that are written and read back. It computes next to nothing, so what is measured beside it is
 * attaché.
 */
export class ApiServer {
  /** By collection, then by `NAMESPACE/NAME`: the event's JSON. */
  readonly #objects = new Map<string, Map<string, StoredObject>>();
  readonly #watchers = new Map<string, Set<ServerResponse>>();
  #version = 1;

  /** Returns the path of a kubeconfig. */
  async listen(folder: string): Promise<string> {
    const server = createServer((request, response) => void this.#answer(request, response));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const kubeconfig = {
      ...{ apiVersion: "v1", kind: "Config", "current-context": "x" },
      clusters: [
        { name: "x", cluster: { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } },
      ],
      contexts: [{ name: "x", context: { cluster: "x", user: "x", namespace: "attache" } }],
      users: [{ name: "x", user: { token: "x" } }],
    };
    const file = join(folder, "kubeconfig");
    await writeFile(file, JSON.stringify(kubeconfig));
    return file;
  }

  /** @param collection e.g. `/apis/attache.dev/v1alpha1/meshcertificates`. */
  put(collection: string, object: StoredObject): StoredObject {
    const { namespace, name } = object.metadata;
    const all = this.#objects.get(collection) ?? new Map<string, StoredObject>();
    this.#objects.set(collection, all);
    const key = `${namespace}/${name}`;
    const before = all.get(key);
    const metadata = { uid: key, generation: 1, ...before?.metadata, ...object.metadata };
    const after = { ...before, ...object, metadata: { ...metadata, resourceVersion: this.#next() } };
    all.set(key, after);
    this.#send(collection, before === undefined ? "ADDED" : "MODIFIED", after);
    return after;
  }

  #next(): string {
    return String((this.#version += 1));
  }

  #send(collection: string, type: string, object: unknown): void {
    const line = `${JSON.stringify({ type, object })}\n`;
    for (const watcher of this.#watchers.get(collection) ?? []) watcher.write(line);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://x");
    const path =
      /^(?<group>\/apis?\/.*?v\w+)(?:\/namespaces\/(?<namespace>[^/]+))?\/(?<plural>\w+)(?:\/(?<name>[^/]+))?/;
    const { group = "", namespace = "", plural = "", name } = path.exec(pathname)?.groups ?? {};
    const collection = `${group}/${plural}`;
    const objects = this.#objects.get(collection) ?? new Map<string, StoredObject>();
    const body = await text(request);
    const reply = (status: number, answer: unknown) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
    };
    const notFound = () =>
      reply(404, { kind: "Status", status: "Failure", reason: "NotFound", message: "not found", code: 404 });
    const key = `${namespace}/${name ?? ""}`;
    if (request.method === "GET" && name !== undefined) {
      const found = objects.get(key);
      if (found === undefined) notFound();
      else reply(200, found);
    } else if (request.method === "GET" && searchParams.get("watch") === "true") {
      this.#watch(collection, namespace, response);
    } else if (request.method === "GET") {
      const items = [...objects.values()].filter(({ metadata }) => isIn(namespace, metadata.namespace));
      reply(200, { metadata: { resourceVersion: this.#next() }, items });
    } else if (request.method === "DELETE") {
      const found = objects.get(key);
      objects.delete(key);
      if (found !== undefined) this.#send(collection, "DELETED", found);
      reply(200, {});
    } else {
      const written = JSON.parse(body) as StoredObject;
      const metadata = { ...written.metadata, namespace, name: name ?? written.metadata.name };
      reply(200, this.put(collection, { ...written, metadata }));
    }
  }

  #watch(collection: string, namespace: string, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/json" });
    for (const object of this.#objects.get(collection)?.values() ?? []) {
      if (isIn(namespace, object.metadata.namespace))
        response.write(`${JSON.stringify({ type: "ADDED", object })}\n`);
    }
    const metadata = {
      resourceVersion: String(this.#version),
      annotations: { "k8s.io/initial-events-end": "true" },
    };
    response.write(`${JSON.stringify({ type: "BOOKMARK", object: { metadata } })}\n`);
    const watchers = this.#watchers.get(collection) ?? new Set();
    this.#watchers.set(collection, watchers.add(response));
    response.on("close", () => watchers.delete(response));
  }
}

function isIn(namespace: string, found: unknown): boolean {
  return namespace === "" || namespace === found;
}
