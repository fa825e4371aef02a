import { buildPeer } from "../peers/build.ts";
import { type Guarded, startGuarded } from "../peers/guarded.ts";

/**
 * Runs a real Envoy with the configuration in `file`; resolves when it is ready, with all its listeners
 * there.
 */
export async function runEnvoy(
  file: string,
  admin: { readonly host: string; readonly port: number },
): Promise<Guarded> {
  const envoy = startGuarded(await envoyProgram(), [
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

export async function envoyProgram(): Promise<string> {
  return `${await buildPeer("envoy")}/envoy`;
}
