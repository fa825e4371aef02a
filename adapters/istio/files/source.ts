import { type Check, type Clock, CredentialError, MeshError } from "../../../src/mesh/adapter.ts";
import { expectedRenewal, owedRenewal, type RenewalDeadline } from "../../../src/mesh/kit/agent-renewal.ts";
import { checking, ok } from "../../../src/mesh/kit/checks.ts";
import { merge } from "../../../src/mesh/kit/pair-assembler.ts";
import { polling } from "../../../src/mesh/kit/retry.ts";
import { credentialChecks, lookAtAgent } from "../credential-checks.ts";
import type { Following, IdentityFeed } from "../own-identity-mesh.ts";
import { type AgentParts, readBundle, readWorkload } from "../parts.ts";
import { type FileSet, FolderWatcher, isSameSet, readSet } from "./folder.ts";

/** The agent renews only when a client asks it (security/pkg/nodeagent/cache): files ask for nothing. */
const remedy = `${lookAtAgent} It writes new files only while an SDS client is connected to it: Envoy, as a rule.`;

/** How long files that make no set may be between two states, before it is reported. */
export const graceMs = 2_000;

/** The files that the Istio agent of attaché's own pod writes, where `OUTPUT_CERTS` names a folder. */
export function folderSource(folder: string, clock: Clock): IdentityFeed {
  return {
    follow: (following) => followFolder(folder, clock, following),
    check: () => checkFolder(folder, clock),
  };
}

async function followFolder(
  folder: string,
  clock: Clock,
  { signal, received, refused }: Following,
): Promise<never> {
  using watcher = new FolderWatcher(folder, clock);
  let last: FileSet | undefined;
  let isUsable = true;
  let owed: RenewalDeadline | undefined;
  const sets = polling(
    () => readSet(folder),
    () => watcher.next(signal),
  );
  for await (const set of sets) {
    const now = clock.now();
    if (last === undefined || !isSameSet(set, last)) {
      last = set;
      const parts = await parse(set, now);
      signal.throwIfAborted();
      if (MeshError.is(parts)) {
        // Torn, as it seems: what makes it whole may be on its way, but not for ever.
        const by = isUsable || owed === undefined ? new Date(now.getTime() + graceMs) : owed.by;
        owed = { by, error: parts };
        isUsable = false;
      } else {
        received(parts, true);
        owed = owedRenewal(parts.workload.certificates[0], now, remedy);
        isUsable = true;
      }
    }
    if (owed !== undefined && owed.by <= now) {
      refused(owed.error);
      owed = undefined;
    }
  }
  throw new TypeError("a poll ended without an error");
}

type WholeParts = Required<Pick<AgentParts, "workload" | "bundle">>;

/** Each file for itself; whether the chain leads to the bundle is not looked at. */
async function parse(set: FileSet, now: Date): Promise<WholeParts | MeshError> {
  try {
    return { workload: await readWorkload(set, now), ...(await readBundle(set.bundle)) };
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    return new MeshError("ATTACHE_MESH_MALFORMED", `the agent's files do not make a set: ${cause.problem}`, {
      remedy: "Look at who else writes into the folder, and at the log of the agent (container istio-proxy).",
      cause,
    });
  }
}

function checkFolder(folder: string, clock: Clock): Promise<Check[]> {
  const name = "files";
  return checking(name, async () => {
    const parts = await parse(await readSet(folder), clock.now());
    if (MeshError.is(parts)) throw parts;
    const credential = merge(parts, { clock, renewal: expectedRenewal });
    const read = ok(name, `key, chain and roots were read in ${folder}`);
    return credential === undefined ? [read] : [read, ...credentialChecks(credential, clock.now())];
  });
}
