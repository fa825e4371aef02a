import type { KubeClient } from "../../kube/client.ts";
import { hasStatus } from "../../kube/api-error.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { Manifest } from "../../render/manifest.ts";
import { marks } from "../../render/marks.ts";
import type { StoredObject } from "./api-object.ts";
import { foreignKeys, nulls } from "./content.ts";
import { keysOf, nudger } from "./field-owners.ts";
import { nameOf, type ObjectName } from "./sighting.ts";

/** An object at one moment: who writes with it is refused if anybody has written since. */
export interface Moment {
  readonly uid: string;
  readonly resourceVersion: string;
}

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
  async read(name: ObjectName, atLeast?: string): Promise<StoredObject | undefined> {
    try {
      return await this.#ports.api.request<StoredObject>({
        method: "GET",
        path: pathTo(name),
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
    const { kind, namespace } = nameOf(manifest);
    return api.request({
      method: "POST",
      path: pathOf(resourceOf[kind], { namespace }),
      query: { fieldManager: manager },
      body: manifest,
    });
  }

  /** Server-side apply of all but the type of a Secret, which cannot change; fails with 409 or 422 if `moment` is past. */
  apply(manifest: Manifest, moment: Moment): Promise<StoredObject> {
    const { api, manager } = this.#ports;
    const { apiVersion, kind, metadata } = manifest;
    return api.request({
      method: "PATCH",
      path: pathTo(nameOf(manifest)),
      query: { fieldManager: manager, force: "true" },
      contentType: "apply",
      body: {
        apiVersion,
        kind,
        metadata: { ...metadata, ...momentOf(moment) },
        ...(manifest.kind === "Secret" ? { data: manifest.data } : { spec: manifest.spec }),
      },
    });
  }

  /** Takes out what {@link superfluous} found. */
  prune(name: ObjectName, superfluous: Superfluous, moment: Moment): Promise<StoredObject> {
    const { api, manager } = this.#ports;
    const { metadata, content } = superfluous;
    return api.request({
      method: "PATCH",
      path: pathTo(name),
      query: { fieldManager: manager },
      contentType: "merge",
      body: { metadata: { ...metadata, ...momentOf(moment) }, ...content },
    });
  }

  /**
   * Gives it an annotation that says nothing, in the name of a field manager of its own: no apply takes it away. Fails with 409 or 422 if
   * `moment` is past.
   */
  nudge(name: ObjectName, value: string, moment: Moment): Promise<StoredObject> {
    return this.#ports.api.request({
      method: "PATCH",
      path: pathTo(name),
      query: { fieldManager: nudger },
      contentType: "merge",
      body: { metadata: { ...momentOf(moment), annotations: { [marks.nudge]: value } } },
    });
  }

  /** Fails with 409 if `moment` is past. */
  async delete(name: ObjectName, moment: Moment): Promise<void> {
    await this.#ports.api.request({
      method: "DELETE",
      path: pathTo(name),
      body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: momentOf(moment) },
    });
  }

  /**
   * What an apply of `manifest` leaves in the object: keys of `data` or `spec` that it does not name, and labels and
   * annotations that this installation has set once. Nothing if there is nothing of the kind.
   */
  superfluous(manifest: Manifest, object: StoredObject): Superfluous | undefined {
    const { labels, annotations } = keysOf(this.#ports.manager, object.metadata.managedFields);
    const stale = {
      labels: nulls(labels.filter((key) => !(key in manifest.metadata.labels))),
      annotations: nulls(annotations.filter((key) => !(key in manifest.metadata.annotations))),
    };
    const content = foreignKeys(manifest, object);
    const isClean = content === undefined && isEmpty(stale.labels) && isEmpty(stale.annotations);
    return isClean ? undefined : { metadata: stale, content: content ?? {} };
  }
}

/** A merge patch. */
export interface Superfluous {
  readonly metadata: object;
  readonly content: object;
}

const resourceOf = { Secret: resources.secrets, TLSContext: resources.tlsContexts };

function pathTo({ kind, namespace, name }: ObjectName): string {
  return pathOf(resourceOf[kind], { namespace, name });
}

/** Of a sighting or an object's metadata, which have more. */
function momentOf({ uid, resourceVersion }: Moment): Moment {
  return { uid, resourceVersion };
}

function isEmpty(object: object): boolean {
  return Object.keys(object).length === 0;
}
