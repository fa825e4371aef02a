import { hash } from "node:crypto";
import type { MeshCertificate } from "../api/mesh-certificate.ts";
import { requests } from "../api/requests.ts";
import type { FairQueue } from "./fair-queue.ts";
import type { Source } from "./source.ts";

/** New leaves on demand for one identity: which request was answered, and which one is under way. */
export class Renewal {
  readonly #queue: FairQueue;
  #answered: string | undefined;
  #underWay: string | undefined;
  #isInTurn = false;

  /** @param answered as a status remembers it. */
  constructor(queue: FairQueue, answered: string | undefined) {
    this.#queue = queue;
    this.#answered = answered;
  }

  /** The last request that the mesh has answered with a credential. */
  get answered(): string | undefined {
    return this.#answered;
  }

  /** Whether the mesh is to give a new leaf, and not to go on from the one that is published. */
  get isUnderWay(): boolean {
    return this.#underWay !== undefined;
  }

  /** The first leaf of an identity is a new one anyway. */
  begin(identity: MeshCertificate): void {
    this.#underWay = this.#due(identity);
  }

  /** To be called with each credential. */
  received(): void {
    this.#answered = this.#underWay ?? this.#answered;
    this.#underWay = undefined;
  }

  /** Whether there is a request that nothing was done about yet. */
  isDue(identity: MeshCertificate): boolean {
    return !this.#isInTurn && this.#due(identity) !== undefined;
  }

  /**
   * Waits for a turn if there is a new request; then the watch at the mesh, and its back-off, does the rest. Returns
   * whether there was a turn: there may be another request by then.
   */
  async ask(
    mesh: string,
    identity: () => MeshCertificate,
    source: Source,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (!this.isDue(identity())) return false;
    this.#isInTurn = true;
    const renew = async () => {
      this.#underWay = this.#due(identity());
      if (this.#underWay !== undefined) await source.again();
    };
    try {
      const { namespace } = identity().metadata;
      await this.#queue.acquire({ mesh, namespace }, renew, signal);
      return true;
    } catch {
      // It was cancelled; the request stays for the next reconciler.
      return false;
    } finally {
      this.#isInTurn = false;
    }
  }

  #due(identity: MeshCertificate): string | undefined {
    const request = requestOf(identity);
    return request === this.#answered || request === this.#underWay ? undefined : request;
  }
}

/** What is asked for, short enough for a status. */
function requestOf({ metadata: { annotations } }: MeshCertificate): string | undefined {
  const value = annotations?.[requests.renew] ?? "";
  if (value === "") return undefined;
  return value.length <= 64 ? value : hash("sha256", value, "hex");
}
