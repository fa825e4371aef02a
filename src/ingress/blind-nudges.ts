import { type IdentityKey, keyOf, type MeshCertificate } from "../api/mesh-certificate.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Consumption } from "./consumption.ts";
import { least } from "./least.ts";

/** A change of a Mapping that comes so near to a write may share a snapshot with it, and have eaten it. */
const nearMs = 3_000;

interface Write {
  readonly identity: MeshCertificate;
  readonly atMs: number;
  /** Whether a Mapping has changed near it; nothing as long as one still may. */
  readonly isDoubtful?: boolean;
}

/**
 * Of ingresses that say nothing: what was written while Mappings changed may have been missed, and is worth one nudge, when Mappings have come to rest;
 * what was written in peace is not.
 */
export class BlindNudges {
  readonly #consumption: Consumption;
  readonly #clock: Clock;
  readonly #writes = new Map<IdentityKey, Write>();

  constructor(consumption: Consumption, clock: Clock) {
    this.#consumption = consumption;
    this.#clock = clock;
  }

  written(identity: MeshCertificate): void {
    this.#writes.set(keyOf(identity), { identity, atMs: this.#clock.elapsedMs() });
  }

  forget(key: IdentityKey): void {
    this.#writes.delete(key);
  }

  /**
   * The identities that are to be nudged now, each once.
   * @param isBlind whether nobody tells what the ingress has made of it
   */
  due(isBlind: (key: IdentityKey) => boolean): MeshCertificate[] {
    const nowMs = this.#clock.elapsedMs();
    const { changedMs = -Infinity } = this.#consumption.mappings ?? {};
    for (const [key, write] of this.#writes) {
      if (write.isDoubtful !== undefined || nowMs < write.atMs + nearMs) continue;
      if (isBlind(key) && changedMs >= write.atMs - nearMs) {
        this.#writes.set(key, { ...write, isDoubtful: true });
      } else this.#writes.delete(key);
    }
    if (nowMs < changedMs + nearMs) return [];
    const due = [...this.#writes].filter(([, { isDoubtful }]) => isDoubtful);
    for (const [key] of due) this.#writes.delete(key);
    return due.flatMap(([key, { identity }]) => (isBlind(key) ? [identity] : []));
  }

  /** In how many milliseconds to ask again; nothing: there is nothing to come. */
  get inMs(): number | undefined {
    const nowMs = this.#clock.elapsedMs();
    const { changedMs = -Infinity } = this.#consumption.mappings ?? {};
    const times = [...this.#writes.values()].map(({ atMs, isDoubtful }) =>
      isDoubtful === undefined ? atMs + nearMs : Math.max(changedMs + nearMs, nowMs + 100),
    );
    const first = least(times);
    return first === undefined ? undefined : Math.max(1, first - nowMs);
  }
}
