import type { Condition, Status } from "../../api/mesh-certificate.ts";
import { apiVersion, keyOf, kind } from "../../api/mesh-certificate.ts";
import { hasStatus } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import { digestOf } from "../backend.ts";
import type { IdentityRef, StoreError } from "../store.ts";
import type { StoredObject } from "./api-object.ts";
import type { Identities } from "./identities.ts";
import type { SeenIdentity } from "./identity.ts";
import { seenIdentity } from "./identity.ts";

export interface StatusesPorts {
  readonly api: Pick<KubeClient, "request">;
  readonly identities: Identities;
  /** The field manager of this installation. */
  readonly manager: string;
}

/** Of a status that was written. */
interface Written {
  readonly wanted: string;
  /** What the API server made of it: an older CRD takes out what it does not know. */
  readonly became: string;
}

/** Writes the statuses of MeshCertificates. */
export class Statuses {
  readonly #ports: StatusesPorts;
  /** By UID. */
  readonly #written = new Map<string, Written>();

  constructor(ports: StatusesPorts) {
    this.#ports = ports;
  }

  /**
   * Writes it if it differs from the one last seen. Returns that one, if anything was written.
   * @throws ApiError
   */
  async write(
    identity: IdentityRef,
    status: Status,
  ): Promise<{ readonly before: Status | undefined } | undefined> {
    const seen = this.#current(identity);
    if (seen === undefined || this.#shows(seen, status)) return undefined;
    try {
      await this.#apply(seen, status);
    } catch (error) {
      // The identity is gone: only its uid can conflict.
      if (!hasStatus(error, 409)) throw error;
      return undefined;
    }
    return { before: seen.status };
  }

  forget(uid: string): void {
    this.#written.delete(uid);
  }

  /** Nothing if the identity is gone: its status has no readers. */
  #current(identity: IdentityRef): SeenIdentity | undefined {
    const seen = this.#ports.identities.get(keyOf(identity));
    return seen?.metadata.uid === identity.metadata.uid ? seen : undefined;
  }

  #shows(seen: SeenIdentity, status: Status): boolean {
    const [shown, wanted] = [digestOf(seen.status ?? null), digestOf(status)];
    const written = this.#written.get(seen.metadata.uid);
    return shown === wanted || (written?.wanted === wanted && written.became === shown);
  }

  /** Server-side apply of our own fields: whatever else others have changed meanwhile, it needs no read. */
  async #apply({ metadata: { namespace, name, uid } }: SeenIdentity, status: Status): Promise<void> {
    const { api, identities, manager } = this.#ports;
    const answer = await api.request<StoredObject>({
      method: "PATCH",
      path: pathOf(resources.meshCertificates, { namespace, name, subresource: "status" }),
      query: { fieldManager: manager, force: true },
      contentType: "apply",
      body: { apiVersion, kind, metadata: { name, namespace, uid }, status },
    });
    const seen = seenIdentity(answer, status);
    this.#written.set(uid, { wanted: digestOf(status), became: digestOf(seen.status ?? null) });
    identities.see(seen);
  }
}

export type InvalidIdentity = SeenIdentity & { readonly content: StoreError };

/** `status`, and in it that the identity cannot be read: what was published of it before is as good as it was. */
export function withInvalid(
  { metadata, content, status: last }: InvalidIdentity,
  status: Status,
  now: Date,
): Status {
  const before = last?.conditions.find(({ type }) => type === "Published");
  const { generation } = metadata;
  const published: Condition = {
    type: "Published",
    status: "False",
    reason: content.code === "ATTACHE_STORE_TOO_MANY" ? "TooMany" : "Invalid",
    message: `${content.message}. ${content.remedy}`,
    lastTransitionTime: before?.status === "False" ? before.lastTransitionTime : now.toISOString(),
    ...(generation !== undefined && { observedGeneration: generation }),
  };
  const others = status.conditions.filter(({ type }) => type !== "Published");
  return { ...status, conditions: [...others, published] };
}
