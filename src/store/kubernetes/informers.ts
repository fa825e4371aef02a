import type { KubeClient } from "../../kube/client.ts";
import { type Change, type Informer, type InformerHealth, startInformer } from "../../kube/informer.ts";
import type { ApiObject } from "../../kube/object.ts";
import { type Resource, resources } from "../../kube/resources.ts";
import { selectorOf } from "../../render/marks.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { WatchState } from "../../telemetry/state.ts";
import type { ObjectRef, ObservedObject, Precondition } from "../backend.ts";
import type { StoredObject } from "./api-object.ts";
import { type SeenContext, seenContext } from "./contexts.ts";
import type { SeenIdentity } from "./identity.ts";
import { observe } from "./observe.ts";

export interface InformersOptions {
  readonly api: KubeClient;
  /** None: all. */
  readonly namespaces: readonly string[];
  /** Where TLSContexts are watched; none: everywhere. */
  readonly consumersIn: readonly string[];
  readonly installation: string;
  readonly manager: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly identities: EventHandler<SeenIdentity> & { reduce(object: StoredObject): SeenIdentity };
  /** Of this installation, and their metadata alone: no Secret's data comes into memory so. */
  readonly secrets: EventHandler<ObservedObject>;
  readonly contexts: (change: Change<SeenContext>) => void;
  /** What is known of this very version of an object, e.g. from the answer to a write: it is not read again. */
  readonly known: (ref: ObjectRef, version: Precondition) => ObservedObject | undefined;
  /** Called when {@link Informers.isSynced} or {@link Informers.isAbsent} has changed. */
  readonly onChange: () => void;
}

/** Takes what is seen of one kind. */
export interface EventHandler<T> {
  see(item: T): void;
  /** @param item as it was last seen. */
  lose(item: T): void;
}

/** Everything that the store watches: MeshCertificates, its own Secrets, all TLSContexts. */
export class Informers implements AsyncDisposable {
  readonly #options: InformersOptions;
  readonly #identities: readonly Informer<unknown>[];
  readonly #others: readonly Informer<unknown>[];

  constructor(options: InformersOptions) {
    const { namespaces, consumersIn, installation, manager, identities, secrets, contexts } = options;
    this.#options = options;
    const places = placesOf(namespaces);
    const labelSelector = selectorOf(installation);
    this.#identities = places.map((place) =>
      this.#feed(resources.meshCertificates, place, (object) => identities.reduce(object), into(identities)),
    );
    this.#others = [
      ...places.map((place) =>
        this.#feed(
          resources.secrets,
          place,
          (object) => this.#known("Secret", object) ?? observe("Secret", object, manager),
          into(secrets),
          { labelSelector, accept: "metadata" },
        ),
      ),
      // A TLSContext holds no secret, and who names it must know for which Emissary it is.
      ...placesOf(consumersIn).map((place) =>
        this.#feed(
          resources.tlsContexts,
          place,
          (object) => seenContext(object, manager, this.#known("TLSContext", object)),
          contexts,
        ),
      ),
    ];
  }

  /** Whether all that there is has been seen. Of MeshCertificates nothing has, where the API server does not know the kind. */
  get isSynced(): boolean {
    return !this.isAbsent && this.health.every(({ isSynced }) => isSynced);
  }

  get health(): readonly InformerHealth[] {
    return [...this.#identities, ...this.#others].map(({ health }) => health);
  }

  /** Whether the cluster has no CRD of MeshCertificates. */
  get isAbsent(): boolean {
    return this.#identities.some(({ health }) => health.state === "absent");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.#identities, ...this.#others].map((reflector) => reflector[Symbol.asyncDispose]()),
    );
  }

  #known(kind: ObjectRef["kind"], { metadata }: StoredObject): ObservedObject | undefined {
    return this.#options.known({ kind, namespace: metadata.namespace, name: metadata.name }, metadata);
  }

  #feed<T>(
    resource: Resource,
    namespace: string | undefined,
    reduce: (object: StoredObject) => T,
    changed: (change: Change<T>) => void,
    more: { readonly labelSelector?: string; readonly accept?: "metadata" } = {},
  ): Informer<T> {
    const { api, clock, logger, onChange } = this.#options;
    return startInformer<T>({
      ...{ api, clock, logger, resource, namespace, ...more },
      reduce: (object: ApiObject) => reduce(object as StoredObject),
      changed,
      transitioned: onChange,
    });
  }
}

function into<T>(handler: EventHandler<T>): (change: Change<T>) => void {
  return ({ before, after }) => {
    if (after !== undefined) handler.see(after);
    else if (before !== undefined) handler.lose(before);
  };
}

export function watchStates(healths: readonly InformerHealth[], clock: Clock): readonly WatchState[] {
  return healths.map(({ sinceMs, ...health }) => ({ ...health, forMs: clock.elapsedMs() - sinceMs }));
}

/** Where to list and watch: in each of `namespaces`, or, where none is named, everywhere at once. */
export function placesOf(namespaces: readonly string[]): readonly (string | undefined)[] {
  return namespaces.length === 0 ? [undefined] : namespaces;
}
