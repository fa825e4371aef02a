import { type Clock, type Cluster, MeshError } from "../../../src/mesh/adapter.ts";
import { type Crls, parseCrls } from "../../../src/credentials/crl.ts";
import { forEach, retrying } from "../../../src/mesh/kit/retry.ts";
import { Backoff } from "../../../src/runtime/backoff.ts";
import { defaultCrlConfigMap, type IstiodSettings } from "../definition.ts";

const crlKey = "ca-crl.pem";

interface CrlFollower {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What the ConfigMap says; `undefined`: nothing. */
  readonly received: (crls: Crls | undefined) => void;
  /** Why it cannot be read now. What was received last stays in force. */
  readonly unreadable: (problem: string) => void;
}

/** The ConfigMap with the revocation lists; none where istiod writes no ConfigMaps, unless the settings name one. */
export function crlConfigMapOf({ crlConfigMap, roots }: IstiodSettings): string | undefined {
  const isUsual = roots.file === undefined && roots.clusterTrustBundle === undefined;
  return crlConfigMap ?? (isUsual ? defaultCrlConfigMap : undefined);
}

/**
 * The revocation lists of a plugged-in CA, from the ConfigMap that istiod writes into each namespace; empty where it has
 * none. Ends only by throwing the signal's reason: nothing that is wrong with them keeps credentials back.
 */
export function followCrls(
  configMap: string,
  { cluster, clock, signal, received, unreadable }: CrlFollower,
): Promise<never> {
  const backoff = new Backoff(clock);
  return retrying(
    () =>
      forEach(cluster.configMap(configMap, signal), (data) => {
        backoff.succeeded();
        const pem = data?.[crlKey] ?? "";
        received(pem.trim() === "" ? undefined : parseCrls(pem));
      }),
    async (error) => {
      if (signal.aborted || !MeshError.is(error)) throw error;
      unreadable(`The ConfigMap ${configMap} of attaché's namespace cannot be read: ${error.problem}.`);
      await backoff.pause(error, signal);
    },
  );
}
