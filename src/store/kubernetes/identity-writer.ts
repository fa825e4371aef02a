import { isDeepStrictEqual } from "node:util";
import { apiVersion, keyOf, kind, type Status } from "../../api/mesh-certificate.ts";
import { hasCode, hasStatus } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import { digestOf } from "../backend.ts";
import type { IdentityRef } from "../store.ts";
import type { StoredObject } from "./api-object.ts";
import type { Identities } from "./identities.ts";
import { finalizerOf, type SeenIdentity } from "./identity.ts";

export interface IdentityWriterPorts {
  readonly api: Pick<KubeClient, "request">;
  readonly identities: Identities;
  readonly installation: string;
  /** The field manager of this installation. */
  readonly manager: string;
}

/** Of a status that the API server has made another one of. */
interface Written {
  readonly wanted: string;
  /** What the API server made of it: an older CRD takes out what it does not know. */
  readonly became: string;
}

/**
 * Writes statuses and finalizers of MeshCertificates, by server-side apply: whatever else others have changed meanwhile,
 * it needs no read. Each installation has a finalizer of its own: one that leaves an identity to another must not let go of
 * it in the other's place.
 */
export class IdentityWriter {
  readonly #ports: IdentityWriterPorts;
  /** By UID. */
  readonly #written = new Map<string, Written>();

  constructor(ports: IdentityWriterPorts) {
    this.#ports = ports;
  }

  /** Whether the finalizer keeps the identity from going before what it published is withdrawn. */
  isProtected({ finalizers }: SeenIdentity): boolean {
    return finalizers.includes(finalizerOf(this.#ports.installation));
  }

  /** To be called before anything is published; costs nothing if the finalizer is on already. @throws ApiError */
  async protect(identity: IdentityRef): Promise<void> {
    const { identities, installation } = this.#ports;
    const seen = this.#current(identity);
    // The API server refuses a new finalizer on an object that is being deleted.
    if (seen && (this.isProtected(seen) || seen.metadata.deletionTimestamp !== undefined)) return;
    const answer = await this.#apply(identity, { finalizers: [finalizerOf(installation)] });
    identities.see(identities.reduce(answer));
  }

  /** @throws ApiError */
  async release(identity: IdentityRef): Promise<void> {
    const { identities } = this.#ports;
    const seen = this.#current(identity);
    this.#written.delete(identity.metadata.uid ?? "");
    if (seen === undefined || !this.isProtected(seen)) return;
    try {
      const left = identities.reduce(await this.#apply(identity, { finalizers: [] }));
      // With the last finalizer of one that is deleted it goes; the watch tells.
      if (left.metadata.deletionTimestamp === undefined) identities.see(left);
    } catch (error) {
      // It is gone, or another one has its name.
      if (!hasStatus(error, 404, 409, 422)) throw error;
    }
  }

  /**
   * Writes a status if it differs from the one last seen. Returns that one, if anything was written.
   * @throws ApiError
   */
  async report(
    identity: IdentityRef,
    status: Status,
  ): Promise<{ readonly before: Status | undefined } | undefined> {
    const seen = this.#current(identity);
    // One that is gone has no readers.
    if (seen === undefined || this.#shows(seen, status)) return undefined;
    const { identities } = this.#ports;
    const { uid } = seen.metadata;
    try {
      const written = await identities.writing(uid, status, async () =>
        identities.reduce(await this.#applyStatus(seen, status)),
      );
      if (written.status === status) this.#written.delete(uid);
      else this.#written.set(uid, { wanted: digestOf(status), became: digestOf(written.status ?? null) });
      identities.see(written);
    } catch (error) {
      // The identity is gone: only its uid can conflict.
      if (!hasStatus(error, 409)) throw error;
      return undefined;
    }
    return { before: seen.status };
  }

  #current(identity: IdentityRef): SeenIdentity | undefined {
    const seen = this.#ports.identities.get(keyOf(identity));
    return seen?.metadata.uid === identity.metadata.uid ? seen : undefined;
  }

  #shows(seen: SeenIdentity, status: Status): boolean {
    if (isDeepStrictEqual(seen.status, status)) return true;
    const written = this.#written.get(seen.metadata.uid);
    return written?.wanted === digestOf(status) && written.became === digestOf(seen.status ?? null);
  }

  /** An older CRD knows fewer fields, and the API server refuses others: they are left out then. */
  async #applyStatus(identity: IdentityRef, status: Partial<Status>): Promise<StoredObject> {
    try {
      return await this.#apply(identity, {}, status);
    } catch (error) {
      const known = knownOf(status, error);
      if (known === undefined) throw error;
      return this.#applyStatus(identity, known);
    }
  }

  #apply(
    { metadata: { namespace, name, uid } }: IdentityRef,
    metadata: { readonly finalizers?: readonly string[] },
    status?: Partial<Status>,
  ): Promise<StoredObject> {
    const { api, manager } = this.#ports;
    return api.request<StoredObject>({
      method: "PATCH",
      path: pathOf(resources.meshCertificates, { namespace, name, ...(status && { subresource: "status" }) }),
      query: { fieldManager: manager, force: true },
      contentType: "apply",
      body: { apiVersion, kind, metadata: { name, namespace, uid, ...metadata }, ...(status && { status }) },
    });
  }
}

/** What is left of a status without the fields that the API server does not know; `undefined`: the error names none. */
function knownOf(status: Partial<Status>, error: unknown): Partial<Status> | undefined {
  if (!hasCode(error, "ATTACHE_KUBERNETES_INVALID")) return undefined;
  const named = error.message.matchAll(/\.status\.(\w+): field not declared in schema/g);
  const unknown = new Set([...named].map(([, field]) => field));
  const known = Object.entries(status).filter(([field]) => !unknown.has(field));
  return known.length < Object.keys(status).length ? Object.fromEntries(known) : undefined;
}
