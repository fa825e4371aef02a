import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/**
 * A way to a server that can be shut: a real control plane seems to go away, and comes back with all that it
 * remembers, which in development mode it would not survive.
 */
export interface Gate extends AsyncDisposable {
  /** On 127.0.0.1; stays the same. */
  readonly port: number;
  /** Breaks all connections and refuses new ones. */
  shut(): Promise<void>;
  /** Lets connections through again, to another server if one is named. */
  open(serverPort?: number): Promise<void>;
}

export async function openGate(serverPort: number): Promise<Gate> {
  let behind = serverPort;
  const sockets = new Set<Socket>();
  let port = 0;
  let server: Server | undefined;

  function pass(near: Socket): void {
    const far = connect(behind, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }

  async function open(another = behind): Promise<void> {
    behind = another;
    if (server !== undefined) return;
    server = createServer(pass).listen(port, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as AddressInfo).port;
  }

  async function shut(): Promise<void> {
    if (server === undefined) return;
    const closed = once(server.close(), "close");
    for (const socket of sockets) socket.destroy();
    server = undefined;
    await closed;
  }

  await open();
  return { port, open, shut, [Symbol.asyncDispose]: shut };
}
