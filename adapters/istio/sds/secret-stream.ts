import type { Client } from "@grpc/grpc-js";
import { type Clock, type MeshError, sleepUntil } from "../../../src/mesh/adapter.ts";
import type { RenewalDeadline } from "../../../src/mesh/kit/agent-renewal.ts";
import { converse } from "../../../src/mesh/kit/grpc/calls.ts";
import { lookAtAgent } from "../credential-checks.ts";
import { type DiscoveryRequest, type DiscoveryResponse, secretDiscoveryService } from "../proto/sds.pb.ts";
import { secretTypeUrl } from "./secret.ts";

/** The agent generates a key and has its CSR signed before it answers, and tries five times. */
export const answerWithinMs = 60_000;

/** google.rpc.Code INVALID_ARGUMENT, as Envoy says it of a secret that it cannot use. */
const invalidArgument = 3;

interface SecretFollower {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Is given each answer, and says whether it can be used. */
  readonly judge: (answer: DiscoveryResponse) => Promise<Verdict>;
}

export type Verdict =
  /** The answer is acknowledged (ACK). */
  | { readonly accepted: true; readonly owed: RenewalDeadline | undefined }
  /** The answer is refused with the error's problem (NACK); a better one is owed soon. */
  | { readonly accepted: false; readonly error: MeshError };

/**
 * Follows one secret on a stream of its own, as Envoy does. An idle stream is normal, and may hide a peer
 * that hangs; what ends it then is an answer that is owed and does not come.
 *
 * Ends only by throwing: the signal's reason, a MeshError, or the `ServiceError` of grpc-js.
 */
export async function followSecret(client: Client, name: string, following: SecretFollower): Promise<never> {
  const { clock, signal, judge } = following;
  const stream = converse(client, secretDiscoveryService.streamSecrets, {
    peer: `the agent (secret ${name})`,
    withinMs: answerWithinMs,
    remedy: lookAtAgent,
    clock,
    signal,
  });
  let waiting = new AbortController();

  /** Ends the stream with `error` when the wait is over, unless there is another wait by then. */
  function wait(over: (signal: AbortSignal) => Promise<void>, error: MeshError): void {
    waiting.abort();
    waiting = new AbortController();
    over(waiting.signal).then(
      () => stream.end(error),
      () => undefined,
    );
  }

  try {
    let acceptedVersion = "";
    let refused = false;
    stream.send({ ...subscription(name), node });
    for await (const { nonce, ...answer } of stream.answers) {
      const verdict = await judge({ nonce, ...answer });
      if (verdict.accepted) {
        waiting.abort();
        const { owed } = verdict;
        if (owed !== undefined) wait((waited) => sleepUntil(owed.by, clock, waited), owed.error);
        acceptedVersion = answer.versionInfo;
      } else if (!refused) {
        // Only the first refusal begins the wait: more rubbish does not put its end off.
        wait((waited) => clock.sleep(answerWithinMs, waited), verdict.error);
      }
      refused = !verdict.accepted;
      stream.send({
        ...subscription(name),
        versionInfo: acceptedVersion,
        responseNonce: nonce,
        errorDetail: verdict.accepted ? null : { code: invalidArgument, message: verdict.error.problem },
      });
    }
    throw new TypeError("a stream ended without an error");
  } finally {
    waiting.abort();
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
