import { type MeshContext, MeshError } from "../../src/mesh/adapter.ts";
import { within } from "../../src/mesh/kit/checks.ts";

/** The longest wait for a Consul that hangs: attaché ends, and a signed leaf is used, without it. */
const withinMs = 3_000;

/** Waits a moment for `work`, which gives tokens of logins back to Consul. A failure is only logged. */
export async function giveBack(
  work: Promise<unknown>,
  { clock, logger }: Pick<MeshContext, "clock" | "logger">,
): Promise<void> {
  const problem = `Consul did not take it back in ${withinMs / 1000} s`;
  const limit = { ms: withinMs, late: () => new MeshError("ATTACHE_MESH_TIMEOUT", problem), clock };
  try {
    await within(limit, () => work);
  } catch (error) {
    const remedy = "Give the auth method a MaxTokenTTL, so that Consul forgets such tokens by itself.";
    logger.log("LoginNotEnded", { err: error, remedy });
  }
}
