import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { asTheyAre, openChannel } from "./channel.ts";

/** Calls over `client`, which fails, closes it, and only then lets somebody listen at `path`. */
async function closeAfterFailure(client: Client, path: string) {
  await new Promise((resolve) => {
    client.makeUnaryRequest("/a/b", () => Buffer.alloc(0), asTheyAre, {}, resolve);
  });
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

it("a channel that is closed after a failure connects no more", async () => {
  const folder = await mkdtemp(join(tmpdir(), "attache-"));
  const [one, other] = [join(folder, "one.sock"), join(folder, "other.sock")];
  using ours = await closeAfterFailure(openChannel(`unix://${one}`), one);
  // One of grpc-js itself, which does, and later than ours would: then there is nothing more to wait for.
  const forgetful = { "grpc.use_local_subchannel_pool": 1, "grpc.initial_reconnect_backoff_ms": 2_000 };
  const client = new Client(`unix://${other}`, credentials.createInsecure(), forgetful);
  using theirs = await closeAfterFailure(client, other);
  await once(theirs.server, "connection");
  expect([theirs.connections, ours.connections]).toEqual([1, 0]);
  await rm(folder, { recursive: true });
});
