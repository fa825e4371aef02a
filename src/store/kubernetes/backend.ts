import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Consumer } from "../../emissary/consumer.ts";
import { hasStatus } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { pages } from "../../kube/pages.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { Manifest } from "../../render/manifest.ts";
import { ownershipAnnotations, selectorOf } from "../../render/marks.ts";
import type { Clock } from "../../runtime/clock.ts";
import {
  type Backend,
  digestOfFixed,
  type Found,
  type ObjectRef,
  type ObservedObject,
  type Precondition,
  refOfPart,
} from "../backend.ts";
import { StoreError } from "../store.ts";
import { manifestOf, resourceOf, type StoredObject } from "./api-object.ts";
import { consumerResources } from "./consumers.ts";
import { taken } from "./context-names.ts";
import { placesOf } from "./informers.ts";
import { isAdopted, isKept, keysOf, nudger, observe, unkeepable } from "./observe.ts";

export interface KubernetesBackendOptions {
  readonly api: Pick<KubeClient, "request">;
  readonly installation: string;
  /** Where its Secrets are; none: everywhere. */
  readonly namespaces: readonly string[];
  /** The field manager of this installation. */
  readonly manager: string;
  readonly clock: Clock;
}

/** Of Secrets, with their data: a page takes some milliseconds to parse. */
const pageSize = 100;

/** The types of Secrets that Emissary reads as a certificate. */
const readableTypes: ReadonlySet<string> = new Set(["kubernetes.io/tls", "Opaque", "istio.io/key-and-cert"]);

/** Secrets and TLSContexts of an API server, which the informers watch. What is thrown is an ApiError. */
export class KubernetesBackend implements Backend {
  readonly canAdopt = true;
  readonly #options: KubernetesBackendOptions;
  readonly #api: Pick<KubeClient, "request">;
  readonly #manager: string;

  constructor(options: KubernetesBackendOptions) {
    this.#options = options;
    this.#api = options.api;
    this.#manager = options.manager;
  }

  /** From the server's cache, if that is as new as `atLeast`; else the newest. */
  async read(ref: ObjectRef, atLeast?: string): Promise<Found | undefined> {
    try {
      const query = atLeast === undefined ? {} : { query: { resourceVersion: atLeast } };
      const object = await this.#api.request<StoredObject>({ method: "GET", path: pathTo(ref), ...query });
      return new FoundObject(kindOf(ref), object, this.#manager);
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  /** Of the Secrets, by their label: the informers keep TLSContexts whole. */
  async *readAll(signal: AbortSignal): AsyncGenerator<readonly Found[]> {
    const { installation, namespaces } = this.#options;
    const query = { labelSelector: selectorOf(installation) };
    for (const namespace of placesOf(namespaces)) {
      const request = { path: pathOf(resources.secrets, { namespace }), query, pageSize, signal };
      for await (const { items } of pages(this.#api, request))
        yield items.map((object) => new FoundObject("Secret", object as StoredObject, this.#manager));
    }
  }

  partOf({ spec, ...metadata }: ObservedObject): Manifest | undefined {
    return spec && manifestOf("TLSContext", { metadata, spec: { ...spec } });
  }

  async write(manifest: Manifest, before?: Found | Precondition): Promise<ObservedObject> {
    const ref = refOfPart(manifest);
    if (before instanceof FoundObject && before.isForeign) before = await this.#adopt(ref, before);
    if (before instanceof FoundObject) {
      // If all that the manifest names is in the object, and more, an apply would change nothing.
      const stale = staleFields(manifest, before.object, this.#manager);
      if (stale !== undefined && isIncluded(manifest, before.object)) {
        return this.#observe(ref, await this.#prune(ref, stale, before.observed));
      }
    }
    const precondition = before && "observed" in before ? before.observed : before;
    let answer = await (precondition ? this.#apply(manifest, precondition) : this.#create(manifest));
    const stale = staleFields(manifest, answer, this.#manager);
    if (stale !== undefined) answer = await this.#prune(ref, stale, answer.metadata);
    return this.#observe(ref, answer);
  }

  async remove(ref: ObjectRef, before: ObservedObject): Promise<void> {
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: preconditionOf(before) };
    try {
      if (before.annotations[ownershipAnnotations.adopted] === "true") await this.#giveBack(ref, before);
      else await this.#api.request({ method: "DELETE", path: pathTo(ref), body });
    } catch (error) {
      if (!hasStatus(error, 404)) throw error;
    }
  }

  /**
   * Gives it an annotation without meaning, in the name of another field manager: no apply removes it. Its watchers look
   * at it again. Conflicts like {@link write}.
   */
  async nudge(ref: ObjectRef, before: Precondition): Promise<ObservedObject> {
    const answer = await this.#patch(ref, "merge", { fieldManager: nudger }, this.#nudgeOf(before));
    return this.#observe(ref, answer);
  }

  /** As {@link nudge} does, a Mapping or TCPMapping as it is now. */
  async nudgeMapping({ kind, namespace, name }: Consumer): Promise<void> {
    const path = pathOf(consumerResources[kind], { namespace, name });
    const accept = "metadata";
    const { metadata } = await this.#api.request<StoredObject>({ method: "GET", path, accept });
    await this.#api.request({
      ...{ method: "PATCH", path, accept, contentType: "merge" },
      query: { fieldManager: nudger },
      body: this.#nudgeOf(metadata),
    });
  }

  isConflict(error: unknown, isCreate: boolean): boolean {
    return isCreate ? hasStatus(error, 409) : hasStatus(error, 404, 409, 422);
  }

  isMarked({ metadata }: Manifest, { labels, annotations, own }: ObservedObject): boolean {
    return (
      includes(labels, metadata.labels) &&
      includes(annotations, metadata.annotations) &&
      own.labels.every((key) => key in metadata.labels) &&
      own.annotations.every((key) => key in metadata.annotations)
    );
  }

  contentOf(manifest: Manifest): string {
    return digestOfFixed(contentFieldOf(manifest)[1]);
  }

  taken(ref: ObjectRef, because: string, remedy?: string): StoreError {
    return taken(ref, because, remedy);
  }

  /** Before anything else is written, so that a crash in between costs the object nothing. */
  async #adopt(ref: ObjectRef, { observed }: FoundObject): Promise<FoundObject> {
    const annotations = { [ownershipAnnotations.adopted]: "true" };
    const metadata = { ...preconditionOf(observed), annotations };
    const answer = await this.#patch(ref, "merge", { fieldManager: nudger }, { metadata });
    return new FoundObject(kindOf(ref), answer, this.#manager);
  }

  /** Takes what attaché has added to the metadata away; what the object holds is left as it is. */
  async #giveBack(ref: ObjectRef, { own, annotations, ...before }: ObservedObject): Promise<void> {
    const labels = nullsBut(own.labels, {});
    const metadata = {
      ...preconditionOf(before),
      labels,
      annotations: nullsBut(Object.keys(annotations), {}),
    };
    await this.#patch(ref, "merge", { fieldManager: this.#manager }, { metadata });
  }

  #nudgeOf(before: Precondition): object {
    const annotations = {
      [ownershipAnnotations.nudge]: `${this.#options.clock.now().toISOString()} ${randomUUID()}`,
    };
    return { metadata: { ...preconditionOf(before), annotations } };
  }

  #observe(ref: ObjectRef, answer: StoredObject): ObservedObject {
    return observe(kindOf(ref), answer, this.#manager);
  }

  #create(manifest: Manifest): Promise<StoredObject> {
    const { kind, namespace } = refOfPart(manifest);
    const path = pathOf(resourceOf[kindOf({ kind })], { namespace });
    return this.#api.request({
      method: "POST",
      path,
      query: { fieldManager: this.#manager },
      body: manifest,
    });
  }

  /** Of all but the type of a Secret, which cannot change. */
  #apply(manifest: Manifest, before: Precondition): Promise<StoredObject> {
    const { apiVersion, kind, metadata } = manifest;
    const [field, content] = contentFieldOf(manifest);
    const body = { apiVersion, kind, metadata: { ...metadata, ...preconditionOf(before) }, [field]: content };
    const query = { fieldManager: this.#manager, force: "true" };
    return this.#patch(refOfPart(manifest), "apply", query, body);
  }

  #prune(ref: ObjectRef, { metadata, content }: StaleFields, before: Precondition): Promise<StoredObject> {
    const body = { metadata: { ...metadata, ...preconditionOf(before) }, ...content };
    return this.#patch(ref, "merge", { fieldManager: this.#manager }, body);
  }

  #patch(
    ref: ObjectRef,
    contentType: "apply" | "merge",
    query: Readonly<Record<string, string>>,
    body: object,
  ): Promise<StoredObject> {
    return this.#api.request({ method: "PATCH", path: pathTo(ref), query, contentType, body });
  }
}

/**
 * An Api that writes nothing once `mayWrite` says no: a leader that was stopped and wakes up must not repeat, with
 * what it reads now, what the server has refused for being late.
 */
export function fenced(api: KubeClient, mayWrite: () => boolean): Pick<KubeClient, "request"> {
  return {
    request: async (request) => {
      if (request.method !== "GET" && !mayWrite()) {
        throw new StoreError("ATTACHE_STORE_DEPOSED", "another replica leads: this one writes nothing");
      }
      return api.request(request);
    },
  };
}

class FoundObject implements Found {
  readonly object: StoredObject;
  readonly observed: ObservedObject;
  readonly part: Manifest;
  /** Made by another client, and not taken over yet. */
  readonly isForeign: boolean;
  readonly refusal?: StoreError;

  constructor(kind: Manifest["kind"], object: StoredObject, manager: string) {
    this.object = object;
    this.observed = observe(kind, object, manager);
    this.part = manifestOf(kind, object);
    const { labels = {}, annotations = {} } = object.metadata;
    const mark = ownershipAnnotations.installation;
    this.isForeign = !(mark in labels) && !(mark in annotations);
    const { type = "Opaque" } = object;
    const [field] = Object.keys(object[kind === "Secret" ? "data" : "spec"] ?? {}).filter((key) =>
      unkeepable[kind].has(key),
    );
    if (this.isForeign && field !== undefined) {
      this.refusal = taken(
        this.observed,
        `it has ${field}, which cannot stay beside what attaché publishes`,
        `Remove ${field} from it, or choose another name under \`spec.target\`.`,
      );
    }
    if (!readableTypes.has(type)) {
      this.refusal = taken(
        this.observed,
        `it is of the type ${type}, which Emissary does not read`,
        "Delete the Secret: its type cannot be changed.",
      );
    }
  }
}

function pathTo({ kind, namespace, name }: ObjectRef): string {
  return pathOf(resourceOf[kindOf({ kind })], { namespace, name });
}

/** PEM sets are a folder's. */
function kindOf({ kind }: Pick<ObjectRef, "kind">): Manifest["kind"] {
  return kind === "TLSContext" ? kind : "Secret";
}

/** Without what else the argument has. */
function preconditionOf({ uid, resourceVersion }: Precondition): Precondition {
  return { uid, resourceVersion };
}

/** Fields that an apply would leave in the object, as a merge patch that removes them. */
interface StaleFields {
  readonly metadata: object;
  readonly content: object;
}

/**
 * What an apply of `desired` leaves in the object: keys of `data` or `spec` that it does not name, and labels and annotations
 * that this installation has set before. `undefined` if there is nothing of the kind.
 */
function staleFields(desired: Manifest, object: StoredObject, manager: string): StaleFields | undefined {
  const { labels, annotations } = keysOf(manager, object.metadata.managedFields);
  const metadata = {
    labels: nullsBut(labels, desired.metadata.labels),
    annotations: nullsBut(annotations, desired.metadata.annotations),
  };
  const [field, wanted] = contentFieldOf(desired);
  const there = Object.keys(object[field] ?? {});
  const unwanted = isAdopted(object) ? there.filter((key) => !isKept(desired.kind, key)) : there;
  const foreign = nullsBut(unwanted, wanted);
  const counts = [metadata.labels, metadata.annotations, foreign].map((keys) => Object.keys(keys).length);
  if (counts.every((count) => count === 0)) return undefined;
  return { metadata, content: counts[2] === 0 ? {} : { [field]: foreign } };
}

function nullsBut(keys: readonly string[], wanted: object): Readonly<Record<string, null>> {
  return Object.fromEntries(keys.filter((key) => !(key in wanted)).map((key) => [key, null]));
}

/** Whether all that `desired` names is in the object as it says. */
function isIncluded(desired: Manifest, object: StoredObject): boolean {
  const { labels, annotations } = object.metadata;
  const [field, wanted] = contentFieldOf(desired);
  return (
    includes(labels, desired.metadata.labels) &&
    includes(annotations, desired.metadata.annotations) &&
    includes(object[field], wanted)
  );
}

function includes(there: Readonly<Record<string, unknown>> = {}, wanted: object): boolean {
  return Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(there[key], value));
}

function contentFieldOf(manifest: Manifest): ["data" | "spec", object] {
  return manifest.kind === "Secret" ? ["data", manifest.data] : ["spec", manifest.spec];
}
