import { isDeepStrictEqual } from "node:util";
import { apiVersion, keyOf, kind, type Status } from "../../api/mesh-certificate.ts";
import { type ApiError, hasCode, hasStatus } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import { digestOf } from "../backend.ts";
import type { IdentityRef } from "../store.ts";
import type { StoredObject } from "./api-object.ts";
import type { Identities } from "./identities.ts";
import { finalizerOf, type SeenIdentity } from "./identity.ts";
import { StatusFields } from "./status-fields.ts";

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
  readonly #fields: StatusFields;
  /** By UID. */
  readonly #written = new Map<string, Written>();

  constructor(ports: IdentityWriterPorts) {
    this.#ports = ports;
    this.#fields = new StatusFields(ports.api);
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
    if (seen === undefined || (await this.#shows(seen, status))) return undefined;
    const { identities } = this.#ports;
    const { uid } = seen.metadata;
    try {
      const written = await identities.writing(uid, status, async () =>
        identities.reduce(await this.#applyStatus(seen, status)),
      );
      this.#note(uid, status, written.status);
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

  /** Without a write also where an older CRD has kept all that it knows of it, in a process before. */
  async #shows({ metadata: { uid }, status: shown }: SeenIdentity, status: Status): Promise<boolean> {
    if (isDeepStrictEqual(shown, status)) return true;
    const written = this.#written.get(uid);
    if (written !== undefined)
      return written.wanted === digestOf(status) && written.became === digestOf(shown ?? null);
    if (shown === undefined || !isDeepStrictEqual(shown, await this.#fields.keptOf(status))) return false;
    this.#note(uid, status, shown);
    return true;
  }

  #note(uid: string, wanted: Status, became: Status | undefined): void {
    if (became === wanted) {
      // The CRD was replaced: before, it had not all of the fields.
      if (this.#written.delete(uid)) this.#fields.forget();
    } else this.#written.set(uid, { wanted: digestOf(wanted), became: digestOf(became ?? null) });
  }

  /** An older CRD knows fewer fields, and the API server refuses others: they are left out then. */
  async #applyStatus(identity: IdentityRef, status: Partial<Status>): Promise<StoredObject> {
    try {
      return await this.#apply(identity, {}, status);
    } catch (error) {
      if (!hasCode(error, "ATTACHE_KUBERNETES_INVALID")) throw error;
      const known = knownOf(status, error) ?? (await this.#fields.keptOf(status));
      if (isDeepStrictEqual(known, status)) throw error;
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
function knownOf(status: Partial<Status>, error: ApiError): Partial<Status> | undefined {
  const named = error.message.matchAll(/\.status\.(\w+): field not declared in schema/g);
  const unknown = new Set([...named].map(([, field]) => field));
  const known = Object.entries(status).filter(([field]) => !unknown.has(field));
  return known.length < Object.keys(status).length ? Object.fromEntries(known) : undefined;
}
