import { buildPeer, type PeerName } from "../peers/build.ts";
import { type Guarded, startGuarded } from "../peers/guarded.ts";

/** The one of Emissary's main branch, or the nearest to that of its release 4.1.0 that PyPI has. */
export type EnvoyPeer = Extract<PeerName, "envoy" | "envoy-1.37">;

/**
 * Runs a real Envoy with the configuration in `file`; resolves when it is ready, with all its listeners
 * there.
 */
export async function runEnvoy(
  file: string,
  admin: { readonly host: string; readonly port: number },
  peer: EnvoyPeer = "envoy",
): Promise<Guarded> {
  const envoy = startGuarded(await envoyProgram(peer), [
    ...["-c", file, "-l", "warn", "--concurrency", "1", "--disable-hot-restart"],
  ]);
  const isReady = () =>
    fetch(`http://${admin.host}:${admin.port}/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  await envoy.until(isReady, "its being ready");
  return envoy;
}

export async function envoyProgram(peer: EnvoyPeer): Promise<string> {
  return `${await buildPeer(peer)}/envoy`;
}
