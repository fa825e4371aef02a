import type { Status } from "../api/mesh-certificate.ts";
import type { Certificate } from "../credentials/certificate.ts";
import type { Retention, RootRemark } from "../credentials/trust-bundle.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Publication } from "./decide.ts";
import type { Observer } from "./observer.ts";

interface Reporters {
  readonly mesh: { readonly name: string };
  readonly observer: Observer;
  readonly logger: Logger;
}

/**
 * The roots that stood in the CA Secret when attaché started to look after an identity, and that its status
 * did not have: if the
 * mesh does not list them either, another client that may write the Secret has put them there.
 */
export class UnknownRoots {
  #suspects: readonly Certificate[] = [];
  #remarks: readonly RootRemark[] = [];

  /** @param bundle what is published. */
  suspect(bundle: readonly Certificate[], status: Status | undefined): void {
    const known = new Set(status?.roots?.map(({ fingerprint }) => fingerprint));
    this.#suspects = bundle.filter(({ fingerprint }) => !known.has(fingerprint));
  }

  /** To be called once the mesh has listed its roots; reports each unknown one once. */
  compare({ credential, retention }: Publication, { mesh, observer, logger }: Reporters): void {
    if (this.#suspects.length === 0) return;
    const known = new Set(credential.bundle.map(({ fingerprint }) => fingerprint));
    const unknown = this.#suspects.filter(({ fingerprint }) => !known.has(fingerprint));
    this.#suspects = [];
    this.#remarks = unknown.map((root) => remarkOn(root, retention.roots));
    for (const { message } of this.#remarks) {
      observer.unknownRoot({ mesh: mesh.name });
      logger.log("UnknownRoot", { problem: message });
    }
  }

  get remarks(): readonly RootRemark[] {
    return this.#remarks;
  }
}

function remarkOn(root: Certificate, published: Retention["roots"]): RootRemark {
  const { fingerprint } = root;
  const retireAt = published.find((one) => one.fingerprint === fingerprint)?.retireAt;
  const end = retireAt === undefined ? "attaché removes it" : `it stays until ${retireAt.toISOString()}`;
  return {
    fingerprint,
    reason: "Unknown",
    message:
      `The CA Secret held the root "${root.toString()}" (SHA-256 ${fingerprint.slice(0, 16)}…), which the mesh does not list ` +
      `and attaché has not reported: ${end}. See who may write the Secret.`,
  };
}
