import { hash } from "node:crypto";
import type { Clock } from "../../clock.ts";
import type { Api } from "../../kubernetes/api.ts";
import { hasStatus } from "../../kubernetes/api-error.ts";
import { apiVersionOf, pathOf, type Resource, resources } from "../../kubernetes/resources.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Happening } from "./happenings.ts";

/** What an Event is about. */
export interface Regarding {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface EventRecorderPorts {
  readonly api: Pick<Api, "request">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly installation: string;
}

/** The same again within this time is one more of its series, as in client-go. */
const seriesMs = 360_000;

/** So many series are remembered, and so many Events wait to be written, at most: in all, and of one object. */
const maxSeries = 4_096;
const maxWaiting = 256;
const maxWaitingOfOne = 16;

/** Of the API server. */
const maxNoteLength = 1_024;

interface Series {
  readonly name: string;
  readonly count: number;
  readonly lastMs: number;
}

/**
 * Writes Events (`events.k8s.io/v1`), one after the other and beside everything else. They are for people to read:
 * nothing depends on them, and one that cannot be written is dropped.
 */
export class EventRecorder implements AsyncDisposable {
  readonly #ports: EventRecorderPorts;
  readonly #series = new Map<string, Series>();
  /** How many wait, by the object's UID. */
  readonly #waiting = new Map<string, number>();
  #allWaiting = 0;
  #written: Promise<void> = Promise.resolve();
  #told = "";

  constructor(ports: EventRecorderPorts) {
    this.#ports = ports;
  }

  record(regarding: Regarding, happening: Happening): void {
    const { uid } = regarding;
    if (this.#allWaiting >= maxWaiting || this.#waitingOf(uid) >= maxWaitingOfOne) return;
    this.#wait(uid, 1);
    this.#written = this.#written.then(async () => {
      await this.#write(regarding, happening).catch((error: unknown) => this.#tell(error));
      this.#wait(uid, -1);
    });
  }

  /** Waits for what is to be written. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#written;
  }

  #waitingOf(uid: string): number {
    return this.#waiting.get(uid) ?? 0;
  }

  #wait(uid: string, more: 1 | -1): void {
    this.#allWaiting += more;
    const waiting = this.#waitingOf(uid) + more;
    if (waiting === 0) this.#waiting.delete(uid);
    else this.#waiting.set(uid, waiting);
  }

  async #write(regarding: Regarding, happening: Happening): Promise<void> {
    const key = digestOf([regarding.uid, happening]);
    const now = this.#ports.clock.now();
    const before = this.#series.get(key);
    this.#series.delete(key);
    const isSeries = before !== undefined && now.getTime() - before.lastMs < seriesMs;
    const again = isSeries ? await this.#continue(regarding, before, now) : undefined;
    this.#series.set(key, again ?? (await this.#begin(regarding, happening, now)));
    // The one that was written longest ago.
    const [oldest] = this.#series.keys();
    if (oldest !== undefined && this.#series.size > maxSeries) this.#series.delete(oldest);
  }

  async #begin(regarding: Regarding, happening: Happening, now: Date): Promise<Series> {
    const { api, installation } = this.#ports;
    const { namespace, name, uid, resource } = regarding;
    const { kind } = resource;
    const ownName = eventName(name, digestOf([uid, happening, now.getTime()]));
    await api.request({
      method: "POST",
      path: pathOf(resources.events, { namespace }),
      body: {
        apiVersion: apiVersionOf(resources.events),
        kind: resources.events.kind,
        metadata: { namespace, name: ownName },
        eventTime: microTime(now),
        reportingController: "attache.dev/attache",
        reportingInstance: installation,
        regarding: { apiVersion: apiVersionOf(resource), kind, namespace, name, uid },
        ...happening,
        note: cut(happening.note),
      },
    });
    return { name: ownName, count: 1, lastMs: now.getTime() };
  }

  /** Nothing if the first of the series is gone: Events live for an hour. */
  async #continue({ namespace }: Regarding, { name, count }: Series, now: Date): Promise<Series | undefined> {
    try {
      await this.#ports.api.request({
        method: "PATCH",
        path: pathOf(resources.events, { namespace, name }),
        contentType: "merge",
        body: { series: { count: count + 1, lastObservedTime: microTime(now) } },
      });
      return { name, count: count + 1, lastMs: now.getTime() };
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  /** Once for each new reason. */
  #tell(error: unknown): void {
    const text = String(error);
    if (text === this.#told) return;
    this.#told = text;
    this.#ports.logger.warn({ err: error }, "an Event was not written");
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
