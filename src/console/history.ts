import type { IdentityKey } from "../api/mesh-certificate.ts";
import type { Observer } from "../controller/observer.ts";
import type { Clock } from "../runtime/clock.ts";
import type { MeshSummary, Rotation } from "./page-data.ts";

/** All rotations that are remembered, of all identities. */
const maxRotations = 10_000;
const minutes = 5;
const spans = 12;
const spanMs = minutes * 60_000;

interface Remembered extends Rotation {
  readonly identity: IdentityKey;
}

/** Failures and rotations of one mesh in spans of five minutes, by the number of the span. */
interface Rates {
  readonly rotations: Map<number, number>;
  readonly failures: Map<number, number>;
}

/** What has happened since the process began, as far as the console shows it; bounded. */
export class History {
  readonly #clock: Clock;
  #rotations: Remembered[] = [];
  readonly #meshes: ReadonlyMap<string, Rates>;

  /** @param meshes the configured ones; what is reported of others is not counted. */
  constructor(clock: Clock, meshes: readonly string[]) {
    this.#clock = clock;
    this.#meshes = new Map(meshes.map((name) => [name, { rotations: new Map(), failures: new Map() }]));
  }

  published({ identity, mesh, cause }: Parameters<Observer["published"]>[0]): void {
    this.#rotations.push({ identity, at: this.#clock.now().toISOString(), cause });
    // Not at each: that would move ten thousand entries.
    if (this.#rotations.length > 1.1 * maxRotations) this.#rotations = this.#rotations.slice(-maxRotations);
    this.#count(this.#meshes.get(mesh)?.rotations);
  }

  /** The mesh gave no credential, or one that a policy refused. */
  failed(mesh: string): void {
    this.#count(this.#meshes.get(mesh)?.failures);
  }

  /** The newest first. */
  rotationsOf(identity: IdentityKey): Rotation[] {
    return this.#rotations
      .filter((one) => one.identity === identity)
      .map(({ at, cause }) => ({ at, cause }))
      .toReversed();
  }

  ratesOf(mesh: string): Pick<MeshSummary, "rotations" | "failures"> {
    const { rotations, failures } = this.#meshes.get(mesh) ?? { rotations: new Map(), failures: new Map() };
    return { rotations: this.#lastHour(rotations), failures: this.#lastHour(failures) };
  }

  #count(counts: Map<number, number> | undefined): void {
    const span = this.#span;
    counts?.set(span, (counts.get(span) ?? 0) + 1);
    for (const old of counts?.keys() ?? []) if (old <= span - spans) counts?.delete(old);
  }

  #lastHour(counts: ReadonlyMap<number, number>): number[] {
    return Array.from({ length: spans }, (_, index) => counts.get(this.#span - spans + 1 + index) ?? 0);
  }

  get #span(): number {
    return Math.floor(this.#clock.elapsedMs() / spanMs);
  }
}
