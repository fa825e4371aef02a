import { CredentialError, MeshError } from "../../../src/mesh/adapter.ts";
import { parseBundle, type Parts, parseWorkload } from "../parts.ts";
import type { DiscoveryResponse } from "../proto/sds.pb.ts";
import { bundleName, readBundle, readWorkload, workloadName } from "./secret.ts";

export const partNames = [workloadName, bundleName] as const;
export type PartName = (typeof partNames)[number];

/** @throws MeshError when the answer cannot be used as that part. */
export function readPart(name: PartName, answer: DiscoveryResponse, now: Date): Parts {
  try {
    return name === workloadName
      ? { workload: parseWorkload(readWorkload(answer), now) }
      : { bundle: parseBundle(readBundle(answer)) };
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    throw new MeshError("ATTACHE_MESH_MALFORMED", `the secret ${name}: ${cause.problem}`, { cause });
  }
}
