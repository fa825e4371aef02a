import { Client, type ClientDuplexStream, credentials, Metadata } from "@grpc/grpc-js";
import { type Clock, MeshError, sleepUntil } from "../../src/mesh/adapter.ts";
import {
  type DiscoveryRequest,
  discoveryRequest,
  type DiscoveryResponse,
  discoveryResponse,
  secretTypeUrl,
  streamSecretsPath,
} from "./sds-messages.ts";

/** The agent generates a key and has its CSR signed before it answers, and tries five times. */
export const answerWithinMs = 60_000;

/** A real agent pushes a few times a day; one that floods costs us at most this share of our time. */
export const pauseMs = 250;

/** Key, chain and bundle are some 10 KB; above this an answer is not read. */
const answerMaxBytes = 1024 * 1024;

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
  | { readonly accepted: true; readonly owed: Owed | undefined }
  /** The answer is refused with the error's problem (NACK); a better one is owed soon. */
  | { readonly accepted: false; readonly error: MeshError };

/** An answer that must come, and what is wrong if it does not. */
export interface Owed {
  readonly by: Date;
  readonly error: MeshError;
}

/**
 * One channel to the agent, of its own connection, so that a new one leaves a connection behind that hangs.
 * Without keepalive: the agent takes its pings for an attack (ENHANCE_YOUR_CALM) and closes.
 */
export function openChannel(socket: string): Client {
  return new Client(`unix://${socket}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": answerMaxBytes,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
  });
}

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

  function send(request: Partial<DiscoveryRequest>): void {
    if (call.write({ ...subscription(name), ...request })) return;
    throw new MeshError(
      "ATTACHE_MESH_MALFORMED",
      `the agent pushes ${name} and does not read what is answered`,
    );
  }

  try {
    const answers = call[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    let acceptedVersion = "";
    let refused = false;
    let owed: Owed | undefined = { by: soon(clock), error: noAnswer(name) };
    send({ node });
    for (;;) {
      const next = await unlessLate(owed, answers.next(), clock);
      if (next.done === true) throw endedByPeer(name);
      const answer = decode(next.value);
      const verdict = judge(answer);
      if (verdict.accepted) {
        acceptedVersion = answer.versionInfo;
        owed = verdict.owed;
        send({ versionInfo: acceptedVersion, responseNonce: answer.nonce });
      } else {
        const { error } = verdict;
        // Only the first refusal sets the limit: more rubbish does not put it off.
        owed = { by: refused && owed !== undefined ? owed.by : soon(clock), error };
        const errorDetail = { code: invalidArgument, message: error.problem };
        send({ versionInfo: acceptedVersion, responseNonce: answer.nonce, errorDetail });
      }
      refused = !verdict.accepted;
      await clock.sleep(pauseMs, signal);
    }
  } finally {
    signal.removeEventListener("abort", abort);
    call.cancel();
    call.destroy();
  }
}

function openStream(client: Client): ClientDuplexStream<DiscoveryRequest, Buffer> {
  const asTheyAre = (bytes: Buffer) => bytes;
  const { encode } = discoveryRequest;
  const call = client.makeBidiStreamRequest(streamSecretsPath, encode, asTheyAre, new Metadata(), {});
  // grpc-js emits one more error after a cancel, when nobody listens any longer.
  call.on("error", () => undefined);
  return call;
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

function soon(clock: Clock): Date {
  return new Date(clock.now().getTime() + answerWithinMs);
}

/** The promise's value, unless it is late. */
async function unlessLate<T>(owed: Owed | undefined, promise: Promise<T>, clock: Clock): Promise<T> {
  if (owed === undefined) return promise;
  const settled = new AbortController();
  const limit = sleepUntil(owed.by, clock, settled.signal).then(() => {
    throw owed.error;
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    settled.abort();
  }
}

function decode(bytes: Buffer): DiscoveryResponse {
  try {
    return discoveryResponse.decode(bytes);
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
    { remedy: "Look at the log of the agent (container istio-proxy), and whether it reaches istiod." },
  );
}

function endedByPeer(name: string): MeshError {
  return new MeshError("ATTACHE_MESH_UNAVAILABLE", `the agent ended the stream of ${name}`, {
    remedy: "Nothing, if the agent restarts: attaché connects again by itself. Else look at the agent's log.",
  });
}
