import type { Requeue } from "../runtime/worker.ts";
import type { Published } from "../render/read-back.ts";
import type { Retention } from "../credentials/trust-bundle.ts";
import type { Decision, Publication } from "./decide.ts";

interface Standing
  extends Pick<Decision, "rejection" | "publishedRejection">, Pick<Retention, "nextChangeAt"> {
  readonly publication: Publication | undefined;
  readonly published: Published | undefined;
  readonly now: Date;
}

/** When time alone may change what is to be published or reported. */
export function nextLook(standing: Standing): Requeue {
  const { rejection, publishedRejection, publication, published, nextChangeAt, now } = standing;
  const { leafWaitMs = 0, revocationWaitMs = 0, revocation } = publication ?? {};
  const notAfter = published?.credential?.chain[0].notAfter;
  const [requeueAt] = [nextChangeAt, revocation?.nextChangeAt, rejection?.reviewAt, notAfter]
    .filter((date) => date !== undefined && date > now)
    .toSorted((one, other) => Number(one) - Number(other));
  const isOver = notAfter !== undefined && notAfter <= now;
  const isSpoilt = isOver || rejection !== undefined || publishedRejection !== undefined;
  const waits = [leafWaitMs, revocationWaitMs, isSpoilt ? clockCheckMs : 0].filter((wait) => wait > 0);
  return { requeueAt, ...(waits.length > 0 && { requeueAfterMs: Math.min(...waits) }) };
}

/** How often to judge again what a wrong clock may have caused: a corrected clock raises no event. */
const clockCheckMs = 60_000;

/**
 * For how long nothing is reported of an identity that awaits the first answer of its mesh, and has no status: one
 * that only says so costs a write. All in milliseconds.
 * @param waitedMs since the identity was there
 * @param answeredMs since the mesh last gave any identity its first answer
 */
export function silenceMs(waitedMs: number, answeredMs: number): number {
  if (waitedMs < firstWordMs) return firstWordMs - waitedMs;
  return answeredMs < firstWordMs && waitedMs < longestSilenceMs ? busyMs : 0;
}

/** How long the mesh may take for its first answer, to any identity, before the status says that it is awaited. */
const firstWordMs = 1_000;

/** How often to look whether a mesh still answers others, and for how long at most. */
const busyMs = 10_000;
const longestSilenceMs = 60_000;
