import type { Socket } from "node:net";

/** Pairs of sockets, of which each is the other's way on: what comes in here goes out there, and they end together. */
export class Pipes {
  readonly #sockets = new Set<Socket>();

  join(near: Socket, far: Socket): void {
    this.#lead(near, far);
    this.#lead(far, near);
  }

  breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #lead(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("error", () => undefined);
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    from.pipe(to);
  }
}
