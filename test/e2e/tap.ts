import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Stands before an upstream's port, passes everything on, and looks whether it is TLS. */
export interface Tap extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
  /**
   * Connections so far of which every byte, both ways, was part of a TLS record; those without a byte count
   * nowhere.
   */
  readonly encrypted: number;
  /** Connections that had anything else in them. */
  readonly plaintext: number;
}

/** @param plain where connections go that do not begin with TLS; without it they go where all go. */
export async function openTap(upstream: number, plain = upstream): Promise<Tap> {
  const sockets = new Set<Socket>();
  const count = { encrypted: 0, plaintext: 0 };

  const server = createServer((near) => {
    let isTls = true;
    sockets.add(near);
    near.once("data", (first: Buffer) => {
      near.pause();
      count.encrypted += 1;
      const far = connect(first[0] === handshake ? upstream : plain, "127.0.0.1");
      sockets.add(far);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        const isRecords = recordsOnly();
        socket.on("data", (data: Buffer) => {
          if (!isTls || isRecords(data)) return;
          isTls = false;
          count.encrypted -= 1;
          count.plaintext += 1;
        });
        socket.on("error", () => undefined);
        socket.on("close", () => {
          sockets.delete(socket);
          other.destroy();
        });
      }
      near.unshift(first);
      near.pipe(far).pipe(near);
    });
    near.on("error", () => undefined);
    near.once("close", () => sockets.delete(near));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    port: (server.address() as AddressInfo).port,
    get encrypted() {
      return count.encrypted;
    },
    get plaintext() {
      return count.plaintext;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server.close(), "close");
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

const handshake = 22;

/**
 * Whether the bytes of one direction, as they come, are TLS records and nothing else: type, version 3.x,
 * length (RFC 8446, 5.1).
 */
function recordsOnly(): (data: Buffer) => boolean {
  const header: number[] = [];
  let left = 0;
  let isSound = true;
  return (data) => {
    for (let at = 0; at < data.length && isSound;) {
      if (left > 0) {
        const skipped = Math.min(left, data.length - at);
        left -= skipped;
        at += skipped;
        continue;
      }
      header.push(data[at] ?? 0);
      at += 1;
      if (header.length < 5) continue;
      const [type = 0, major = 0, , high = 0, low = 0] = header.splice(0);
      left = high * 256 + low;
      // Changes of cipher, alerts, handshakes, data.
      isSound = type >= 20 && type <= 23 && major === 3 && left <= 16_384 + 2_048;
    }
    return isSound;
  };
}
