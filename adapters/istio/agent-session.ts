import { type Clock, MeshError } from "../../src/mesh/adapter.ts";
import { owedRenewal } from "../../src/mesh/agent-renewal.ts";
import { openChannel } from "../../src/mesh/grpc/channel.ts";
import { lookAtAgent, meshErrorOf } from "./grpc-errors.ts";
import { type Part, type PartName, partNames, readPart } from "./part.ts";
import type { DiscoveryResponse } from "./sds-messages.ts";
import { followSecret, type Verdict } from "./secret-stream.ts";

export interface SessionOptions {
  readonly socket: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** A part has come; `complete` when the last answers for both parts could be used. */
  readonly received: (part: Part, complete: boolean) => void;
  /** An answer has come that cannot be used; the agent was told so. */
  readonly refused: (error: MeshError) => void;
}

/**
 * One connection to the agent, with a stream for each part. When one stream ends, both do: what the agent then
 * holds is only known by asking it afresh.
 *
 * Ends only by throwing: the signal's reason, or a MeshError that says why the connection was given up.
 */
export async function followAgent(options: SessionOptions): Promise<never> {
  const { socket, clock } = options;
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  const client = openChannel(`unix://${socket}`);
  const judge = judgeBy(options);
  try {
    return await Promise.race(
      partNames.map((name) =>
        followSecret(client, name, { clock, signal, judge: (answer) => judge(name, answer) }),
      ),
    );
  } catch (error) {
    options.signal.throwIfAborted();
    throw await meshErrorOf(error, socket);
  } finally {
    over.abort();
    client.close();
  }
}

function judgeBy({ clock, received, refused }: SessionOptions) {
  const usable = new Set<PartName>();
  return (name: PartName, answer: DiscoveryResponse): Verdict => {
    try {
      const part = readPart(name, answer, clock.now());
      usable.add(name);
      received(part, usable.size === partNames.length);
      return {
        accepted: true,
        owed: part.name === "default" ? owedRenewal(part.chain[0], clock.now(), lookAtAgent) : undefined,
      };
    } catch (error) {
      if (!MeshError.is(error)) throw error;
      usable.delete(name);
      refused(error);
      return { accepted: false, error };
    }
  };
}
