import type { Client } from "@grpc/grpc-js";
import { type Clock, MeshError, sleepUntil } from "../../../src/mesh/adapter.ts";
import type { RenewalDeadline } from "../../../src/mesh/kit/agent-renewal.ts";
import { lookAtAgent } from "../look-at-agent.ts";
import { openStream } from "./channel.ts";
import { type DiscoveryRequest, type DiscoveryResponse, secretDiscoveryService } from "../proto/sds.pb.ts";
import { secretTypeUrl } from "./secret.ts";

/** The agent generates a key and has its CSR signed before it answers, and tries five times. */
export const answerWithinMs = 60_000;

/** A real agent pushes a few times a day; one that floods costs us at most this share of our time. */
export const pauseMs = 250;

/** google.rpc.Code INVALID_ARGUMENT, as Envoy says it of a secret that it cannot use. */
const invalidArgument = 3;

export interface Following {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Is given each answer, and says whether it can be used. */
  readonly judge: (answer: DiscoveryResponse) => Verdict;
}

export type Verdict =
  /** The answer is acknowledged (ACK). */
  | { readonly accepted: true; readonly owed: RenewalDeadline | undefined }
  /** The answer is refused with the error's problem (NACK); a better one is owed soon. */
  | { readonly accepted: false; readonly error: MeshError };

/**
 * Follows one secret on a stream of its own, as Envoy does. An idle stream is normal, and may hide a peer that
 * hangs; what ends it then is an answer that is owed and does not come.
 *
 * Ends only by throwing: the signal's reason, a MeshError, or the `ServiceError` of grpc-js.
 */
export async function followSecret(client: Client, name: string, following: Following): Promise<never> {
  const { clock, signal, judge } = following;
  signal.throwIfAborted();
  const call = openStream(client);
  const abort = () => call.destroy(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  let waiting = new AbortController();

  /** Ends the stream with `error` when the wait is over, unless there is another wait by then. */
  function wait(over: (signal: AbortSignal) => Promise<void>, error: MeshError): void {
    waiting.abort();
    waiting = new AbortController();
    over(waiting.signal).then(
      () => call.destroy(error),
      () => undefined,
    );
  }

  function send(request: Partial<DiscoveryRequest>): void {
    if (!call.write({ ...subscription(name), ...request })) throw notRead(name);
  }

  const aMinute = (waited: AbortSignal) => clock.sleep(answerWithinMs, waited);
  try {
    let acceptedVersion = "";
    let refused = false;
    wait(aMinute, noAnswer(name));
    send({ node });
    for await (const bytes of call as AsyncIterable<Buffer>) {
      const answer = decode(bytes);
      const verdict = judge(answer);
      const reply = { versionInfo: acceptedVersion, responseNonce: answer.nonce };
      if (verdict.accepted) {
        waiting.abort();
        const { owed } = verdict;
        if (owed !== undefined) wait((waited) => sleepUntil(owed.by, clock, waited), owed.error);
        acceptedVersion = answer.versionInfo;
        send({ ...reply, versionInfo: acceptedVersion });
      } else {
        // Only the first refusal begins the wait: more rubbish does not put its end off.
        if (!refused) wait(aMinute, verdict.error);
        send({ ...reply, errorDetail: { code: invalidArgument, message: verdict.error.problem } });
      }
      refused = !verdict.accepted;
      await clock.sleep(pauseMs, signal);
    }
    throw endedByPeer(name);
  } finally {
    signal.removeEventListener("abort", abort);
    waiting.abort();
    call.cancel();
    call.destroy();
  }
}

/**
 * Who we are; the Istio agent only wants an id that is not empty. The metadata asks a SPIRE agent, should it
 * own the socket, for a plain bundle instead of Envoy's SPIFFE validator (pkg/agent/endpoints/sdsv3).
 */
const node: DiscoveryRequest["node"] = {
  id: "attache",
  metadata: { fields: { disable_spiffe_cert_validation: { boolValue: true } } },
  userAgentName: "attache",
};

function subscription(name: string): DiscoveryRequest {
  return {
    versionInfo: "",
    node: null,
    resourceNames: [name],
    typeUrl: secretTypeUrl,
    responseNonce: "",
    errorDetail: null,
  };
}

function decode(bytes: Buffer): DiscoveryResponse {
  try {
    return secretDiscoveryService.streamSecrets.responseDeserialize(bytes);
  } catch (cause) {
    throw new MeshError("ATTACHE_MESH_MALFORMED", "the answer on the socket is not a DiscoveryResponse", {
      cause,
    });
  }
}

function noAnswer(name: string): MeshError {
  return new MeshError(
    "ATTACHE_MESH_TIMEOUT",
    `the agent owes the secret ${name} and sent nothing for ${answerWithinMs / 1000} s`,
    { remedy: lookAtAgent },
  );
}

function notRead(name: string): MeshError {
  return new MeshError(
    "ATTACHE_MESH_MALFORMED",
    `the agent pushes ${name} and does not read what is answered`,
  );
}

function endedByPeer(name: string): MeshError {
  return new MeshError("ATTACHE_MESH_UNAVAILABLE", `the agent ended the stream of ${name}`, {
    remedy: "Nothing, if the agent restarts: attaché connects again by itself. Else look at the agent's log.",
  });
}
