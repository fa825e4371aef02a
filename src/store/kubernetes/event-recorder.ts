import { hash } from "node:crypto";
import { hasStatus } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { apiVersionOf, pathOf, type Resource, resources } from "../../kube/resources.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { StatusEvent } from "./status-events.ts";

/** What an Event is about. */
export interface Regarding {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface EventRecorderPorts {
  readonly api: Pick<KubeClient, "request">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly installation: string;
}

/** How often so many were written is remembered, the last ones. */
const maxCounts = 4_096;

/** So many wait to be written at most: in all, of one namespace, and of one object. */
const maxWaiting = { all: 512, namespace: 256, object: 16 };

/** Of the API server. */
const maxNoteLength = 1_024;

/**
 * Writes Events (`events.k8s.io/v1`), one after the other and beside everything else. They are for people to read:
 * nothing depends on them, and one that cannot be written is dropped.
 *
 * What happens again is one more of its series for as long as the API server keeps the Event. Its name tells what it says,
 * so that this also holds after a restart, and between two installations that see the same of a Mapping. What others have
 * counted is not known, as attaché may not read Events: the count is that of the process that wrote last.
 */
export class EventRecorder implements AsyncDisposable {
  readonly #ports: EventRecorderPorts;
  /** How often each was written, by what tells it from others; the one that was written longest ago first. */
  readonly #counts = new Map<string, number>();
  readonly #waiting = new Map<string, number>();
  #written: Promise<void> = Promise.resolve();

  constructor(ports: EventRecorderPorts) {
    this.#ports = ports;
  }

  record(regarding: Regarding, statusEvent: StatusEvent): void {
    const { namespace, uid } = regarding;
    const bounds = [
      ["all", maxWaiting.all],
      [`namespace ${namespace}`, maxWaiting.namespace],
      [`object ${uid}`, maxWaiting.object],
    ] as const;
    if (bounds.some(([of, most]) => this.#waitingOf(of) >= most)) return;
    for (const [of] of bounds) this.#wait(of, 1);
    this.#written = this.#written.then(async () => {
      await this.#write(regarding, statusEvent).catch((error: unknown) =>
        this.#ports.logger.log("EventNotWritten", { err: error }),
      );
      for (const [of] of bounds) this.#wait(of, -1);
    });
  }

  /** Waits for what is to be written. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#written;
  }

  #waitingOf(of: string): number {
    return this.#waiting.get(of) ?? 0;
  }

  #wait(of: string, more: 1 | -1): void {
    const waiting = this.#waitingOf(of) + more;
    if (waiting === 0) this.#waiting.delete(of);
    else this.#waiting.set(of, waiting);
  }

  async #write(regarding: Regarding, statusEvent: StatusEvent): Promise<void> {
    const key = digestOf([regarding.uid, statusEvent]);
    const name = eventName(regarding.name, key);
    const known = this.#counts.get(key);
    const count =
      known === undefined
        ? ((await this.#begin(name, regarding, statusEvent)) ?? (await this.#continue(name, regarding, 1)))
        : ((await this.#continue(name, regarding, known)) ??
          (await this.#begin(name, regarding, statusEvent)));
    this.#counts.delete(key);
    if (count !== undefined) this.#counts.set(key, count);
    const [oldest] = this.#counts.keys();
    if (oldest !== undefined && this.#counts.size > maxCounts) this.#counts.delete(oldest);
  }

  /** How often it is written then: once; nothing if it is there already. */
  async #begin(name: string, regarding: Regarding, statusEvent: StatusEvent): Promise<number | undefined> {
    const { api, clock, installation } = this.#ports;
    const { namespace, resource } = regarding;
    const body = {
      apiVersion: apiVersionOf(resources.events),
      kind: resources.events.kind,
      metadata: { namespace, name },
      eventTime: microTime(clock.now()),
      reportingController: "attache.dev/attache",
      reportingInstance: installation,
      regarding: {
        apiVersion: apiVersionOf(resource),
        kind: resource.kind,
        namespace,
        name: regarding.name,
        uid: regarding.uid,
      },
      ...statusEvent,
      note: cut(statusEvent.note),
    };
    try {
      await api.request({ method: "POST", path: pathOf(resources.events, { namespace }), body });
      return 1;
    } catch (error) {
      if (hasStatus(error, 409)) return undefined;
      throw error;
    }
  }

  /** How often it is written then; nothing if it is gone: Events live for an hour. */
  async #continue(name: string, { namespace }: Regarding, count: number): Promise<number | undefined> {
    const { api, clock } = this.#ports;
    const series = { count: count + 1, lastObservedTime: microTime(clock.now()) };
    try {
      const path = pathOf(resources.events, { namespace, name });
      await api.request({ method: "PATCH", path, contentType: "merge", body: { series } });
      return series.count;
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }
}

function digestOf(value: unknown): string {
  return hash("sha256", JSON.stringify(value)).slice(0, 16);
}

/** A DNS subdomain, as names of objects are. */
function eventName(about: string, suffix: string): string {
  return `${about.slice(0, 200).replace(/[-.]+$/, "")}.${suffix}`;
}

function microTime(date: Date): string {
  return date.toISOString().replace("Z", "000Z");
}

/** The API server counts bytes. */
function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= maxNoteLength) return note;
  return `${bytes
    .subarray(0, maxNoteLength - 6)
    .toString()
    .replace(/\uFFFD+$/, "")}…`;
}
