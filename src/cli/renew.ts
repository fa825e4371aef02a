import { keyOf } from "../api/mesh-certificate.ts";
import { requestAnnotations } from "../api/requests.ts";
import { UsageError } from "./errors.ts";
import { annotate, annotateFile, clusterOf } from "./place.ts";
import type { RenewOptions } from "./options.ts";
import { viewsOf } from "./views.ts";

/**
 * Asks attaché for new leaves, one identity after the other, by an annotation: a user who may edit a
 * MeshCertificate may renew it, and attaché takes them in turn.
 */
export async function renew(names: readonly string[], options: RenewOptions): Promise<void> {
  if (names.length === 0 && options.all === undefined) {
    throw new UsageError("no MeshCertificate is named", { remedy: "Name some, or write --all." });
  }
  await using place = await clusterOf(options, "renew", annotateFile(requestAnnotations.renew));
  const { views } = await viewsOf(place, { names });
  for (const { identity } of views) {
    await annotate(place, identity, requestAnnotations.renew, new Date().toISOString());
    process.stdout.write(`${keyOf(identity)}: a new leaf is asked for\n`);
  }
}
