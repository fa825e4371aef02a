import assert from "node:assert/strict";
import { Agent, request } from "undici";

/** How a client reaches an API server. */
export interface Access {
  /** `https://127.0.0.1:…` */
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  /** Empty: none. */
  readonly token: string;
  /** Of a socket in place of the server's address. */
  readonly socketPath?: string;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * The API in its barest form, for what tests prepare and look at: it shares nothing with the client that they
 * test.
 */
export interface Rest extends AsyncDisposable {
  call(method: string, path: string, body?: unknown, contentType?: string): Promise<Answer>;
  get<T = Resource>(path: string): Promise<T>;
  create<T = Resource>(path: string, body: object): Promise<T>;
  /** A merge patch. */
  patch(path: string, body: object): Promise<Resource>;
  /** Server-side apply, with force, as the field manager `tests`. */
  apply(path: string, body: object): Promise<Resource>;
  delete(path: string): Promise<void>;
}

export interface Resource {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

export function rest({ server, ca, token, socketPath }: Access): Rest {
  const connect = { ca, ...(socketPath !== undefined && { socketPath }) };
  const dispatcher = new Agent({ connect, connections: 8 });

  async function call(
    method: string,
    path: string,
    body?: unknown,
    contentType = "application/json",
  ): Promise<Answer> {
    const answer = await request(`${server}${path}`, {
      dispatcher,
      method: method as "GET",
      headers: { "content-type": contentType, ...(token !== "" && { authorization: `Bearer ${token}` }) },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: text.startsWith("{") ? (JSON.parse(text) as unknown) : text };
  }

  async function must(...args: Parameters<typeof call>): Promise<unknown> {
    const { status, body } = await call(...args);
    assert.ok(status < 300, `${args[0]} ${args[1]}: ${status} ${JSON.stringify(body)}`);
    return body;
  }

  return {
    call,
    get: async <T>(path: string) => (await must("GET", path)) as T,
    create: async <T>(path: string, body: object) => (await must("POST", path, body)) as T,
    patch: async (path, body) =>
      (await must("PATCH", path, body, "application/merge-patch+json")) as Resource,
    apply: async (path, body) =>
      (await must(
        "PATCH",
        `${path}?fieldManager=tests&force=true`,
        body,
        "application/apply-patch+yaml",
      )) as Resource,
    async delete(path) {
      await must("DELETE", path);
    },
    async [Symbol.asyncDispose]() {
      await dispatcher.destroy();
    },
  };
}
