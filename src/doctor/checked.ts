import { AttacheError } from "../errors/attache-error.ts";
import { hasCode } from "../kube/api-error.ts";
import type { Check } from "../mesh/port.ts";

/**
 * What a check finds, or why it could not be done: other checks go on. What the caller may not see need not be wrong.
 */
export async function checked(
  name: string,
  check: () => Promise<Check | readonly Check[]>,
): Promise<readonly Check[]> {
  try {
    const found = await check();
    return "length" in found ? found : [found];
  } catch (error) {
    if (!(error instanceof AttacheError)) throw error;
    const { problem, remedy } = error;
    if (!hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN"))
      return [{ name, status: "failed", message: problem, remedy }];
    const message = `not checked: ${problem.replace(/^attaché may/, "the caller may")}`;
    return [{ name, status: "warning", message, remedy }];
  }
}
