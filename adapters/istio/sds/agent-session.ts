import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { owedRenewal } from "../../../src/mesh/kit/agent-renewal.ts";
import { openChannel } from "../../../src/mesh/kit/grpc/channel.ts";
import { meshErrorOf, tryAgent } from "./grpc-errors.ts";
import { lookAtAgent } from "../look-at-agent.ts";
import type { Following } from "../own-identity-mesh.ts";
import type { DiscoveryResponse } from "../proto/sds.pb.ts";
import { type PartName, partNames, readPart } from "./part.ts";
import { followSecret, type Verdict } from "./secret-stream.ts";

export interface SessionOptions extends Following {
  readonly socket: string;
  readonly clock: Clock;
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
  // A channel of grpc-js that is closed after it failed to connect tries once more, and would keep that connection.
  const unreachable = await tryAgent(socket);
  if (unreachable !== undefined) throw unreachable;
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
      const parts = readPart(name, answer, clock.now());
      usable.add(name);
      received(parts, usable.size === partNames.length);
      return {
        accepted: true,
        owed: parts.workload && owedRenewal(parts.workload.chain[0], clock.now(), lookAtAgent),
      };
    } catch (error) {
      if (!MeshError.is(error)) throw error;
      usable.delete(name);
      refused(error);
      return { accepted: false, error };
    }
  };
}
