import { z } from "zod";
import type { RetainedRoot, RootState } from "../credentials/trust-bundle.ts";
import type { Certificate } from "../credentials/certificate.ts";

/**
 * What the CA Secret remembers of its roots, in an annotation, so that a restart, a backup or a lost status
 * forgets none: `[{"fingerprint":"3f…"},{"fingerprint":"a1…","retireAt":"2026-01-01T00:00:00.000Z"}]`.
 */
const record = z.array(z.object({ fingerprint: z.string(), retireAt: z.iso.datetime().optional() }));

export function writeRootRecord(roots: readonly RootState[]): string {
  return JSON.stringify(
    roots.map(({ fingerprint, retireAt }) => ({ fingerprint, ...(retireAt && { retireAt }) })),
  );
}

interface RecordedRoots {
  readonly active: readonly Certificate[];
  readonly retained: readonly RetainedRoot[];
}

/** Sorts `certificates` by what the annotation says of them; one that it does not name counts for nothing. */
export function readRootRecord(
  text: string | undefined,
  certificates: readonly Certificate[],
): RecordedRoots {
  const parsed = record.safeParse(parseJson(text));
  const entries = new Map(parsed.data?.map(({ fingerprint, retireAt }) => [fingerprint, retireAt]));
  const known = certificates.filter(({ fingerprint }) => entries.has(fingerprint));
  const retireAtOf = ({ fingerprint }: Certificate) => entries.get(fingerprint);
  return {
    active: known.filter((certificate) => retireAtOf(certificate) === undefined),
    retained: known.flatMap((certificate) => {
      const retireAt = retireAtOf(certificate);
      return retireAt === undefined ? [] : [{ certificate, retireAt: new Date(retireAt) }];
    }),
  };
}

/** A user may have edited the annotation: what is not JSON is no record. */
function parseJson(text = ""): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
