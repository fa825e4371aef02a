import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Pipes } from "../fixtures/pipes.ts";

/**
 * A way to a server that can be shut: a real control plane seems to go away, and comes back with all that it
 * remembers, which in development mode it would not survive.
 */
export interface Gate extends AsyncDisposable {
  /** On 127.0.0.1; stays the same. 0 for a Unix socket. */
  readonly port: number;
  /** Breaks all connections and refuses new ones. */
  shut(): Promise<void>;
  /** Lets connections through again, to another server if one is named. */
  open(server?: ServerAddress): Promise<void>;
}

/** A port of 127.0.0.1, or the path of a Unix socket. */
export type ServerAddress = number | string;

/** @param at where the gate's own Unix socket is made, where the server has one. */
export async function openGate(server: ServerAddress, at?: string): Promise<Gate> {
  let behind = server;
  const pipes = new Pipes();
  let port = 0;
  let gate: Server | undefined;

  function pass(near: Socket): void {
    pipes.join(near, typeof behind === "number" ? connect(behind, "127.0.0.1") : connect(behind));
  }

  async function open(another = behind): Promise<void> {
    behind = another;
    if (gate !== undefined) return;
    gate = at === undefined ? createServer(pass).listen(port, "127.0.0.1") : createServer(pass).listen(at);
    await once(gate, "listening");
    if (at === undefined) port = (gate.address() as AddressInfo).port;
  }

  async function shut(): Promise<void> {
    if (gate === undefined) return;
    const closed = once(gate.close(), "close");
    pipes.breakAll();
    gate = undefined;
    await closed;
  }

  await open();
  return { port, open, shut, [Symbol.asyncDispose]: shut };
}
