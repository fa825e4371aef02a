import { hash } from "node:crypto";
import type { MeshCertificate } from "../api/mesh-certificate.ts";
import { requestAnnotations } from "../api/requests.ts";
import { unlessAborted } from "../runtime/abort.ts";
import type { Clock } from "../runtime/clock.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { Worker } from "../runtime/worker.ts";
import type { Source } from "./source.ts";

/** From one turn to the next: the CA of a mesh has other work, too. In milliseconds, as all here. */
const paceMs = 200;

/** An unreachable mesh must not block the others for ever; its answer counts whenever it comes. */
const longestTurnMs = 30_000;

/**
 * Lets one identity after the other ask their mesh for a new leaf. Namespaces take turns, so that none waits
 * for all that another one asks for; within a namespace it is first come, first served.
 */
export type Renewals = Worker<Renewal>;

/** For one mesh. */
export function startRenewals(clock: Clock): Renewals {
  return new Worker({
    reconcile: (renewal, signal) => renewal.reconcile(clock, signal),
    // A failure of the mesh is an offer of the source.
    onError: () => undefined,
    groupOf: ({ namespace }) => namespace,
    clock,
  });
}

/** New leaves on demand for one identity: which request was answered, and which one is under way. */
export class Renewal {
  readonly #of: { readonly identity: MeshCertificate };
  readonly #source: Pick<Source, "again">;
  #answered: string | undefined;
  #underWay: string | undefined;

  /** @param answered the last request that was answered, as the status records it. */
  constructor(
    of: { readonly identity: MeshCertificate },
    source: Pick<Source, "again">,
    answered: string | undefined,
  ) {
    this.#of = of;
    this.#source = source;
    this.#answered = answered;
  }

  get namespace(): string {
    return this.#of.identity.metadata.namespace;
  }

  /** The last request that the mesh has answered with a credential. */
  get answered(): string | undefined {
    return this.#answered;
  }

  /** Whether the mesh must issue a new leaf, and not go on from the one that is published. */
  get isUnderWay(): boolean {
    return this.#underWay !== undefined;
  }

  /** Whether there is a request that nothing was done about yet. */
  get isDue(): boolean {
    return this.#due !== undefined;
  }

  /** Counts what is requested as under way: the first leaf of an identity is a new one anyway. */
  begin(): void {
    this.#underWay = this.#due ?? this.#underWay;
  }

  /** To be called with each credential. */
  received(): void {
    this.#answered = this.#underWay ?? this.#answered;
    this.#underWay = undefined;
  }

  /** One turn; the watch at the mesh, with its back-off, does the rest. */
  async reconcile(clock: Clock, signal: AbortSignal): Promise<undefined> {
    if (!this.isDue) return;
    this.begin();
    using turn = withTimeout(longestTurnMs, () => new Error("its turn is over"), clock, signal);
    await unlessAborted(this.#source.again(), turn.signal).catch(() => undefined);
    await clock.sleep(paceMs, signal);
  }

  get #due(): string | undefined {
    const request = requestOf(this.#of.identity);
    return request === this.#answered || request === this.#underWay ? undefined : request;
  }
}

/** What is asked for, short enough for a status. */
function requestOf({ metadata: { annotations } }: MeshCertificate): string | undefined {
  const value = annotations?.[requestAnnotations.renew] ?? "";
  if (value === "") return undefined;
  return value.length <= 64 ? value : hash("sha256", value, "hex");
}
