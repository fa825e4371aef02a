import { Client, type ClientDuplexStream, credentials, Metadata } from "@grpc/grpc-js";
import { type DiscoveryRequest, discoveryRequest, streamSecretsPath } from "./sds-messages.ts";

/** Key, chain and bundle are some 10 KB; above this an answer is not read. */
const answerMaxBytes = 1024 * 1024;

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

/** A stream of answers, as bytes: what they are is for its reader to say, and to refuse. */
export function openStream(client: Client): ClientDuplexStream<DiscoveryRequest, Buffer> {
  const asTheyAre = (bytes: Buffer) => bytes;
  const { encode } = discoveryRequest;
  const call = client.makeBidiStreamRequest(streamSecretsPath, encode, asTheyAre, new Metadata(), {});
  // grpc-js emits one more error after a cancel, when nobody listens any longer.
  call.on("error", () => undefined);
  return call;
}
