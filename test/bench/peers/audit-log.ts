import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";

/** Requests of one client, but for those of Leases. */
export interface Sent {
  readonly requests: number;
  /** Of them what changes objects, but for Events. */
  readonly writes: number;
  readonly events: number;
}

const none: Sent = { requests: 0, writes: 0, events: 0 };

const policy = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [
    { level: "None", resources: [{ group: "coordination.k8s.io", resources: ["leases"] }] },
    { level: "Metadata" },
  ],
};

/** Counts what an API server notes of its clients: each pays the same for it. */
export class AuditLog {
  readonly #file: string;
  readonly #sent = new Map<string, Sent>();
  #offset = 0;
  #rest = "";

  /** @param folder for its files */
  constructor(folder: string) {
    this.#file = join(folder, "audit.log");
  }

  /** The flags of the API server. */
  async flags(): Promise<string[]> {
    const file = `${this.#file}.policy.json`;
    await writeFile(file, JSON.stringify(policy));
    return [`--audit-policy-file=${file}`, `--audit-log-path=${this.#file}`];
  }

  /** All that clients have sent until now whose user agent begins with `agent`. */
  async sentBy(agent: string): Promise<Sent> {
    const added = await text(createReadStream(this.#file, { start: this.#offset }));
    this.#offset += Buffer.byteLength(added);
    const lines = (this.#rest + added).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#count(JSON.parse(line) as Entry);
    return [...this.#sent].filter(([client]) => client.startsWith(agent)).reduce(plus, none);

    function plus(sum: Sent, [, sent]: readonly [string, Sent]): Sent {
      return combined(sum, sent, 1);
    }
  }

  #count({ stage, verb, userAgent = "", objectRef }: Entry): void {
    // A watch that has begun counts, and not again when it ends.
    if (stage !== (verb === "watch" ? "ResponseStarted" : "ResponseComplete")) return;
    const isEvent = objectRef?.resource === "events";
    const isWrite = !["get", "list", "watch"].includes(verb);
    this.#sent.set(
      userAgent,
      combined(this.#sent.get(userAgent) ?? none, {
        requests: 1,
        writes: isWrite && !isEvent ? 1 : 0,
        events: isWrite && isEvent ? 1 : 0,
      }),
    );
  }
}

/** https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
interface Entry {
  readonly stage: string;
  readonly verb: string;
  readonly userAgent?: string;
  readonly objectRef?: { readonly resource?: string };
}

/** The sum of two, or with a `sign` of -1 their difference. */
export function combined(one: Sent, other: Sent, sign: 1 | -1 = 1): Sent {
  return {
    requests: one.requests + sign * other.requests,
    writes: one.writes + sign * other.writes,
    events: one.events + sign * other.events,
  };
}
