import { z } from "zod";
import type { IdentityKey } from "../api/mesh-certificate.ts";
import { allowRule } from "../config/allow-rule.ts";
import { deleteIdentities } from "../doctor/delete-identities.ts";
import { preflight, upgradeDefinition } from "../doctor/preflight.ts";
import { systemClock } from "../runtime/clock.ts";
import { UsageError } from "./errors.ts";
import type { PreflightOptions } from "./options.ts";
import { clusterOf } from "./place.ts";

const nextRelease = z.strictObject({
  namespaces: z.array(z.string()).optional(),
  identities: z.array(z.string().regex(/^[^/]+\/[^/]+$/)),
  meshes: z.array(z.string()),
  allow: z.array(allowRule).optional(),
});

/** What the chart's hooks run. @throws PreflightError, UsageError, ApiError */
export async function preflightCommand(options: PreflightOptions): Promise<void> {
  await using place = await clusterOf(options, "preflight");
  const { api, namespace = api.namespace } = place;
  const { installation, next, uninstall = false, crd } = options;
  const release = { name: options.release, namespace };
  await preflight({ api, installation, release, next: nextOf(next), isEnd: uninstall });
  if (uninstall) await deleteIdentities({ api, release, clock: systemClock });
  if (crd === true) await upgradeDefinition(api);
  process.stdout.write("Nothing that is in use loses attaché.\n");
}

function nextOf(text: string) {
  try {
    const { namespaces, identities, meshes, allow } = nextRelease.parse(JSON.parse(text));
    return { namespaces, identities: identities as IdentityKey[], meshes, allow };
  } catch (cause) {
    throw new UsageError("--next is not JSON of namespaces, identities, meshes and allow", { cause });
  }
}
