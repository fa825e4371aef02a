import { type MeshContext, MeshError } from "../../src/mesh/adapter.ts";

/** Nobody waits longer for a Consul that hangs: neither attaché's end, nor a leaf that is signed already. */
const withinMs = 3_000;

/** Waits a moment for `work`, which gives tokens of logins back to Consul. What fails is told: nobody can do more. */
export async function giveBack(
  work: Promise<unknown>,
  { clock, logger }: Pick<MeshContext, "clock" | "logger">,
): Promise<void> {
  const over = new AbortController();
  const late = clock.sleep(withinMs, over.signal).then(() => {
    throw new MeshError("ATTACHE_MESH_TIMEOUT", `Consul did not take it back in ${withinMs / 1000} s`);
  });
  try {
    await Promise.race([work, late]);
  } catch (error) {
    const remedy = "Give the auth method a MaxTokenTTL, so that Consul forgets such tokens by itself.";
    logger.warn({ err: error, remedy }, "the token of a login could not be given back");
  } finally {
    over.abort();
  }
}
