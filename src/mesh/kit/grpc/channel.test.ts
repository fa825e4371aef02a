import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { expect, it, onTestFinished } from "vitest";
import { openChannel } from "./channel.ts";

it("a channel that is closed after a failure connects no more", { tags: ["realtime"] }, async () => {
  const [one, other] = [await pathOfSocket(), await pathOfSocket()];
  using ours = await closeAfterFailure(openChannel(`unix://${one}`), one);
  // One of grpc-js itself, which does, and later than ours would: then there is nothing more to wait for.
  const forgetful = { "grpc.use_local_subchannel_pool": 1, "grpc.initial_reconnect_backoff_ms": 2_000 };
  const client = new Client(`unix://${other}`, credentials.createInsecure(), forgetful);
  using theirs = await closeAfterFailure(client, other);
  await once(theirs.server, "connection");
  expect([theirs.connections, ours.connections]).toEqual([1, 0]);
});

it.each([
  [
    "speaks HTTP/2 and then hangs",
    credentials.createInsecure(),
    Buffer.from("\0\0\0\x04\0\0\0\0\0", "latin1"),
  ],
  ["has not said a word yet", credentials.createInsecure(), undefined],
  ["does not begin with TLS", credentials.createSsl(), undefined],
])("a channel that is closed leaves no connection to a peer that %s", async (_what, security, greeting) => {
  const path = await pathOfSocket();
  await using peer = await hangingPeer(path, greeting);
  const client = openChannel(`unix://${path}`, security);
  void call(client);
  const socket = await peer.connected;
  client.close();
  await expect.poll(() => socket.readableEnded).toBe(true);
  // The peer hangs, and does not close its end because we close ours. Who is gone altogether cannot be
  // written to.
  await expect.poll(() => socket.write("x") || socket.errored).toBeInstanceOf(Error);
});

/** Resolves when the call has failed. */
function call(client: Client): Promise<unknown> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      "/a/b",
      () => Buffer.alloc(0),
      (bytes: Buffer) => bytes,
      {},
      resolve,
    );
  });
}

/** Calls over `client`, which fails, closes it, and only then starts a server at `path`. */
async function closeAfterFailure(client: Client, path: string) {
  await call(client);
  client.close();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  }).listen(path);
  await once(server, "listening");
  return {
    server,
    get connections() {
      return connections;
    },
    [Symbol.dispose]: () => void server.close(),
  };
}

/**
 * Accepts a connection, sends `greeting`, and does nothing more. `connected` when the client has sent
 * something.
 */
async function hangingPeer(path: string, greeting: Buffer | undefined) {
  const connected = Promise.withResolvers<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => connected.resolve(socket));
    if (greeting !== undefined) socket.write(greeting);
  }).listen(path);
  await once(server, "listening");
  return {
    connected: connected.promise,
    async [Symbol.asyncDispose]() {
      (await connected.promise).destroy();
      server.close();
    },
  };
}

async function pathOfSocket(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "attache-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, "peer.sock");
}
