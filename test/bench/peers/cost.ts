import { setTimeout } from "node:timers/promises";
import type { Running } from "../meshes/attache.ts";
import { startedAt, usageOf } from "../meshes/usage.ts";
import { type AuditLog, combined, type Sent } from "./audit-log.ts";

/** What one piece of work has taken. */
export interface Cost {
  /** Until it was done. */
  readonly seconds: number;
  /** Until the process was quiet. */
  readonly cpuSeconds: number;
  /** At rest afterwards. */
  readonly rssMb: number;
  /** The most since the start of the process. */
  readonly peakMb: number;
  readonly sent: Sent;
}

/** From when on the work counts. */
export interface Start {
  /** In milliseconds since 1970. */
  readonly at: number;
  readonly cpuMs: number;
  readonly sent: Sent;
}

/** For how long a process must be quiet. */
const quietMs = 1_000;

/** Measures processes whose user agent begins with `agent`, one after the other. */
export class Meter {
  readonly #audit: AuditLog;
  readonly #agent: string;
  readonly #restMs: number;

  /** @param restMs from when a process is quiet until its memory is read */
  constructor(audit: AuditLog, agent: string, restMs: number) {
    this.#audit = audit;
    this.#agent = agent;
    this.#restMs = restMs;
  }

  /** Starts a process and measures it from its start on. */
  async start(start: () => Promise<Running>): Promise<readonly [Running, Start]> {
    const sent = await this.#sent();
    const running = await start();
    return [running, { at: await startedAt(running.pid), cpuMs: 0, sent }];
  }

  /** Measures a process that runs from now on. */
  async from({ pid }: Running): Promise<Start> {
    const { cpuMs } = await usageOf(pid);
    return { at: Date.now(), cpuMs, sent: await this.#sent() };
  }

  /** @param done resolves when the work is done; without it, that is when the process becomes quiet */
  async cost({ pid }: Running, start: Start, done?: Promise<unknown>): Promise<Cost> {
    await done;
    const doneAt = Date.now();
    const quietAt = await this.#quiet(pid);
    const [{ cpuMs }, sent] = await Promise.all([usageOf(pid), this.#sent()]);
    await setTimeout(this.#restMs);
    const { rssMb, peakMb } = await usageOf(pid);
    return {
      seconds: ((done === undefined ? quietAt : doneAt) - start.at) / 1_000,
      cpuSeconds: (cpuMs - start.cpuMs) / 1_000,
      rssMb,
      peakMb,
      sent: combined(sent, start.sent, -1),
    };
  }

  /** Resolves once the process has sent nothing and used hardly any CPU for a while, with when that began. */
  async #quiet(pid: number): Promise<number> {
    const look = async () => ({ ...(await usageOf(pid)), ...(await this.#sent()) });
    let last = await look();
    let quietAt = Date.now();
    while (Date.now() - quietAt < quietMs) {
      await setTimeout(100);
      const now = await look();
      // Linux counts in steps of ten milliseconds.
      if (now.requests !== last.requests || now.cpuMs - last.cpuMs > 10) quietAt = Date.now();
      last = now;
    }
    return quietAt;
  }

  #sent(): Promise<Sent> {
    return this.#audit.sentBy(this.#agent);
  }
}
