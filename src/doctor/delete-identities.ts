import { AttacheError } from "../errors/attache-error.ts";
import { hasStatus } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import { pathOf, resources } from "../kube/resources.ts";
import type { Clock } from "../runtime/clock.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { isOfRelease, type Release } from "./lost-rights.ts";
import { listAll } from "./preflight.ts";

interface DeleteIdentitiesOptions {
  readonly api: Pick<KubeClient, "request">;
  readonly release: Release;
  readonly clock: Clock;
}

/** Within what the Job of the chart has; each is kept for up to a minute (`limits.deletionGrace`). */
const withinMs = 100_000;
const lookEveryMs = 500;

/**
 * Deletes the MeshCertificates of a release while its attaché runs, and waits until they are gone: only attaché removes
 * what it published, and the finalizer that keeps them. Helm would delete them after attaché.
 * @returns how many there were.
 * @throws AttacheError if attaché does not let go of one; ApiError
 */
export async function deleteIdentities({ api, release, clock }: DeleteIdentitiesOptions): Promise<number> {
  let left = await ofRelease();
  const count = left.length;
  for (const { metadata } of left) {
    const { namespace, name, uid, deletionTimestamp } = metadata;
    if (deletionTimestamp !== undefined) continue;
    const path = pathOf(resources.meshCertificates, { namespace, name });
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid } };
    await api.request({ method: "DELETE", path, body }).catch((error: unknown) => {
      if (!hasStatus(error, 404)) throw error;
    });
  }
  using limit = withTimeout(
    withinMs,
    () => new RemainingError(left.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)),
    clock,
  );
  while ((left = await ofRelease()).length > 0) await clock.sleep(lookEveryMs, limit.signal);
  return count;

  async function ofRelease() {
    return (await listAll(api)).filter((one) => isOfRelease(one, release));
  }
}

class RemainingError extends AttacheError {
  constructor(names: readonly string[]) {
    super(
      "ATTACHE_PREFLIGHT",
      `attaché has not let go of MeshCertificate ${names.join(", ")} within ${withinMs / 1000} s`,
      {
        remedy:
          "See the condition Terminating, and whether attaché runs. `helm uninstall --no-hooks` goes ahead, and leaves what attaché published.",
      },
    );
  }
}
