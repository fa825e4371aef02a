import { hasStatus } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { Manifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import type { StoredObject } from "./api-object.ts";
import { nudger } from "./api-object.ts";
import type { Precondition, StaleFields } from "./decision.ts";
import { type ObjectRef, refOfManifest } from "./observed-object.ts";

export interface ObjectsPorts {
  readonly api: Pick<KubeClient, "request">;
  /** The field manager of this installation. */
  readonly manager: string;
}

/** The requests for Secrets and TLSContexts. All throw ApiErrors. */
export class Objects {
  readonly #ports: ObjectsPorts;

  constructor(ports: ObjectsPorts) {
    this.#ports = ports;
  }

  /**
   * Nothing if there is no such object.
   * @param atLeast from the server's cache, if it is as new as this; else the newest.
   */
  async read(ref: ObjectRef, atLeast?: string): Promise<StoredObject | undefined> {
    try {
      return await this.#ports.api.request<StoredObject>({
        method: "GET",
        path: pathTo(ref),
        ...(atLeast !== undefined && { query: { resourceVersion: atLeast } }),
      });
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  /** Fails with 409 if an object of that name exists. */
  create(manifest: Manifest): Promise<StoredObject> {
    const { api, manager } = this.#ports;
    const { kind, namespace } = refOfManifest(manifest);
    return api.request({
      method: "POST",
      path: pathOf(resourceOf[kind], { namespace }),
      query: { fieldManager: manager },
      body: manifest,
    });
  }

  /** Server-side apply of all but the type of a Secret, which cannot change; fails with 409 or 422 if `precondition` is past. */
  apply(manifest: Manifest, precondition: Precondition): Promise<StoredObject> {
    const { api, manager } = this.#ports;
    const { apiVersion, kind, metadata } = manifest;
    return api.request({
      method: "PATCH",
      path: pathTo(refOfManifest(manifest)),
      query: { fieldManager: manager, force: "true" },
      contentType: "apply",
      body: {
        apiVersion,
        kind,
        metadata: { ...metadata, ...preconditionOf(precondition) },
        ...(manifest.kind === "Secret" ? { data: manifest.data } : { spec: manifest.spec }),
      },
    });
  }

  /** Removes stale fields; fails like {@link apply}. */
  prune(ref: ObjectRef, stale: StaleFields, precondition: Precondition): Promise<StoredObject> {
    const { api, manager } = this.#ports;
    const { metadata, content } = stale;
    return api.request({
      method: "PATCH",
      path: pathTo(ref),
      query: { fieldManager: manager },
      contentType: "merge",
      body: { metadata: { ...metadata, ...preconditionOf(precondition) }, ...content },
    });
  }

  /**
   * Gives it an annotation that says nothing, in the name of a field manager of its own: no apply takes it away. Fails with 409 or 422 if
   * `precondition` is past.
   */
  nudge(ref: ObjectRef, value: string, precondition: Precondition): Promise<StoredObject> {
    return this.#ports.api.request({
      method: "PATCH",
      path: pathTo(ref),
      query: { fieldManager: nudger },
      contentType: "merge",
      body: {
        metadata: { ...preconditionOf(precondition), annotations: { [ownershipAnnotations.nudge]: value } },
      },
    });
  }

  /** Fails with 409 if `precondition` is past. */
  async delete(ref: ObjectRef, precondition: Precondition): Promise<void> {
    await this.#ports.api.request({
      method: "DELETE",
      path: pathTo(ref),
      body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: preconditionOf(precondition) },
    });
  }
}

const resourceOf = { Secret: resources.secrets, TLSContext: resources.tlsContexts };

function pathTo({ kind, namespace, name }: ObjectRef): string {
  return pathOf(resourceOf[kind], { namespace, name });
}

/** Without what else the argument has. */
function preconditionOf({ uid, resourceVersion }: Precondition): Precondition {
  return { uid, resourceVersion };
}
