import { isDeepStrictEqual } from "node:util";
import { keyOf, type MeshCertificate } from "../api/mesh-certificate.ts";
import type { Published } from "../render/read-back.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type Publication, publishedBy } from "./decide.ts";
import { rotationCause } from "./leaf-rollout-gate.ts";
import type { Observer } from "./observer.ts";
import type { OpenMesh } from "./open-mesh.ts";

interface RotationLogPorts {
  readonly identity: MeshCertificate;
  readonly mesh: Pick<OpenMesh, "name">;
  readonly observer: Pick<Observer, "published">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Reports each rotation of one identity once, with the time from its arrival until it was published. */
export class RotationLog {
  /** As the status has it; absent before the first one. */
  lastTime: string | undefined;
  /** When the candidate came, by `elapsedMs()`, until its rotation was reported. */
  #receivedMs: number | undefined;

  constructor(lastTime: string | undefined) {
    this.lastTime = lastTime;
  }

  received(atMs: number): void {
    this.#receivedMs = atMs;
  }

  /** What was published `before` is `publication` now, after so many writes. */
  applied(before: Published, publication: Publication, writes: number, ports: RotationLogPorts): void {
    const { identity, mesh, observer, clock, logger } = ports;
    const { credential, leafWaitMs } = publication;
    const cause = rotationCause(before.credential, credential);
    if (cause !== undefined && this.#receivedMs !== undefined) {
      const { serialNumber, notAfter } = credential.chain[0];
      this.lastTime = clock.now().toISOString();
      const propagationMs = clock.elapsedMs() - this.#receivedMs;
      observer.published({ identity: keyOf(identity), mesh: mesh.name, cause, propagationMs });
      logger.log("Published", { cause, serialNumber, notAfter, writes });
    } else if (writes > 0) {
      const isSame = isDeepStrictEqual(before.revocation, publishedBy(publication).revocation);
      logger.log(isSame ? "Repaired" : "RevocationListsPublished", { writes });
    }
    if (leafWaitMs === 0) this.#receivedMs = undefined;
  }
}
