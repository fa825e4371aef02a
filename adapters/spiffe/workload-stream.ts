import { type Client, type ClientReadableStream, Metadata } from "@grpc/grpc-js";
import { type Clock, MeshError } from "../../src/mesh/adapter.ts";
import { asTheyAre, openChannel } from "../../src/mesh/kit/grpc/channel.ts";
import { lookAtAgent, meshErrorOf } from "./agent-errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { newestOf } from "./newest-of.ts";
import { spiffeWorkloadAPI, type X509SVIDResponse } from "./proto/workload.pb.ts";

/** The agent attests attaché's process before it answers, and may have to have a new SVID signed. */
export const answerWithinMs = 60_000;

/** A real agent pushes a few times an hour; one that floods costs us at most one answer in this time. */
export const pauseMs = 250;

/** What other clients of the Workload API take: gRPC's own limit. Room for more than a thousand identities. */
const answerMaxBytes = 4 * 1024 * 1024;

export interface Following {
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Is given each answer, or the newest of those that came together: each is complete. */
  readonly received: (answer: X509SVIDResponse) => void;
}

/**
 * One call to the Workload API, over a connection of its own. An idle one is normal, and may hide an agent that hangs.
 *
 * Ends only by throwing: the signal's reason, or a MeshError that says why.
 */
export async function followWorkloadApi(following: Following): Promise<never> {
  const { endpoint, clock, signal, received } = following;
  signal.throwIfAborted();
  const options = { "grpc.max_receive_message_length": answerMaxBytes };
  const client = openChannel(endpoint.target, undefined, options);
  const call = openCall(client);
  const abort = () => call.destroy(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  const waiting = new AbortController();
  clock.sleep(answerWithinMs, waiting.signal).then(
    () => call.destroy(noAnswer()),
    () => undefined,
  );
  try {
    // Each answer is complete, so that a newer one makes those before obsolete.
    for await (const bytes of newestOf(call)) {
      waiting.abort();
      received(decode(bytes));
      await clock.sleep(pauseMs, signal);
    }
    throw endedByAgent();
  } catch (error) {
    throw await meshErrorOf(error, endpoint);
  } finally {
    signal.removeEventListener("abort", abort);
    waiting.abort();
    call.cancel();
    call.destroy();
    client.close();
  }
}

function openCall(client: Client): ClientReadableStream<Buffer> {
  const { path, requestSerialize } = spiffeWorkloadAPI.fetchX509SVID;
  const metadata = new Metadata();
  // So that no browser and no proxy can be made to ask in attaché's name (SPIFFE Workload Endpoint, section 6.1).
  metadata.set("workload.spiffe.io", "true");
  const call = client.makeServerStreamRequest(path, requestSerialize, asTheyAre, {}, metadata);
  // grpc-js emits one more error after a cancel, when nobody listens any longer.
  call.on("error", () => undefined);
  return call;
}

function decode(bytes: Buffer): X509SVIDResponse {
  try {
    return spiffeWorkloadAPI.fetchX509SVID.responseDeserialize(bytes);
  } catch (cause) {
    throw new MeshError("ATTACHE_MESH_MALFORMED", "the agent's answer is no X509SVIDResponse", { cause });
  }
}

function noAnswer(): MeshError {
  const problem = `the agent owes an answer and sent nothing for ${answerWithinMs / 1000} s`;
  return new MeshError("ATTACHE_MESH_TIMEOUT", problem, { remedy: lookAtAgent });
}

function endedByAgent(): MeshError {
  return new MeshError("ATTACHE_MESH_UNAVAILABLE", "the agent ended the call", {
    remedy: "Nothing, if the agent restarts: attaché connects again by itself. Else look at the agent's log.",
  });
}
