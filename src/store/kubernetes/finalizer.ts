import { apiVersion, keyOf, kind } from "../../api/mesh-certificate.ts";
import { hasStatus } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { IdentityRef } from "../store.ts";
import type { StoredObject } from "./api-object.ts";
import type { Identities } from "./identities.ts";
import { finalizerOf, type SeenIdentity, seenIdentity } from "./identity.ts";

export interface FinalizerPorts {
  readonly api: Pick<KubeClient, "request">;
  readonly identities: Identities;
  readonly installation: string;
  /** The field manager of this installation. */
  readonly manager: string;
}

/**
 * Keeps a MeshCertificate from going before what it published is withdrawn. Each installation has a finalizer of its own:
 * one that leaves an identity to another must not let go of it in the other's place.
 */
export class Finalizer {
  readonly #ports: FinalizerPorts;

  constructor(ports: FinalizerPorts) {
    this.#ports = ports;
  }

  isOn({ finalizers }: SeenIdentity): boolean {
    return finalizers.includes(this.#name);
  }

  /** To be called before anything is published; costs nothing if it is on already. @throws ApiError */
  async add({ metadata }: IdentityRef): Promise<void> {
    const seen = this.#ports.identities.get(keyOf({ metadata }));
    if (seen !== undefined && seen.metadata.uid === metadata.uid) {
      // The API server refuses a new finalizer on an object that is being deleted.
      if (this.isOn(seen) || seen.metadata.deletionTimestamp !== undefined) return;
    }
    this.#ports.identities.see(seenIdentity(await this.#apply({ metadata }, [this.#name])));
  }

  /** @throws ApiError */
  async remove({ metadata }: IdentityRef): Promise<void> {
    const seen = this.#ports.identities.get(keyOf({ metadata }));
    if (seen === undefined || seen.metadata.uid !== metadata.uid || !this.isOn(seen)) return;
    try {
      const left = seenIdentity(await this.#apply({ metadata }, []));
      // With the last finalizer of one that is deleted it goes; the watch tells.
      if (left.metadata.deletionTimestamp === undefined) this.#ports.identities.see(left);
    } catch (error) {
      // It is gone, or another one has its name.
      if (!hasStatus(error, 404, 409, 422)) throw error;
    }
  }

  get #name(): string {
    return finalizerOf(this.#ports.installation);
  }

  /** Server-side apply: of all finalizers it touches ours alone. */
  #apply(
    { metadata: { namespace, name, uid } }: IdentityRef,
    finalizers: readonly string[],
  ): Promise<StoredObject> {
    const { api, manager } = this.#ports;
    return api.request<StoredObject>({
      method: "PATCH",
      path: pathOf(resources.meshCertificates, { namespace, name }),
      query: { fieldManager: manager, force: true },
      contentType: "apply",
      body: { apiVersion, kind, metadata: { name, namespace, uid, finalizers } },
    });
  }
}
