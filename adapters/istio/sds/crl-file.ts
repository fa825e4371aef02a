import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { type Crls, parseCrls } from "../../../src/credentials/crl.ts";
import { polling } from "../../../src/mesh/kit/retry.ts";
import { readBounded } from "../files/folder.ts";
import type { Following } from "../own-identity-mesh.ts";
import { crlFile } from "./secret.ts";

/** A mounted ConfigMap follows after a minute anyway. */
const lookMs = 30_000;

interface CrlFollower extends Pick<Following, "signal" | "received"> {
  readonly clock: Clock;
  /** {@link crlFile} but in tests. */
  readonly path?: string;
}

/**
 * The revocation lists in the file that the agent lets its clients read: the agent does not say when they change. Ends
 * only by throwing the signal's reason.
 */
export async function followCrlFile({
  signal,
  received,
  clock,
  path = crlFile,
}: CrlFollower): Promise<never> {
  const texts = polling(
    () => readBounded(path).catch((error: unknown) => problemOf(error)),
    () => clock.sleep(lookMs, signal),
  );
  let last: string | undefined;
  for await (const read of texts) {
    const seen = read.toString();
    if (seen === last) continue;
    last = seen;
    const crls: Crls = typeof read === "string" ? { lists: [], problems: [read] } : parseCrls(read);
    received({ crls }, true);
  }
  throw new TypeError("a poll ended without an error");
}

function problemOf(error: unknown): string {
  if (!MeshError.is(error)) throw error;
  return `The agent names a file with revocation lists, and ${error.problem}: mount the ConfigMap istio-ca-crl there.`;
}
