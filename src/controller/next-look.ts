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
