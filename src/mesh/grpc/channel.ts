import { type ChannelCredentials, type ChannelOptions, Client, credentials } from "@grpc/grpc-js";
import { z } from "zod";

/** Key, chain and bundle are some 10 KB; above this an answer is not read. */
const answerMaxBytes = 1024 * 1024;

/**
 * One channel of its own connection, so that a new one leaves a connection behind that hangs. Without keepalive,
 * unless `options` say otherwise: most servers take its pings for an attack (ENHANCE_YOUR_CALM) and close. Nor
 * through the proxy that the environment may name: keys and tokens are for the mesh alone.
 * @param target as grpc-js takes it: `unix:///run/agent.sock`, `dns:///consul.example:8503`, `ipv4:127.0.0.1:8080`.
 */
export function openChannel(
  target: string,
  security: ChannelCredentials = credentials.createInsecure(),
  options: ChannelOptions = {},
): Client {
  return new ClosedForGood(target, security, {
    "grpc.max_receive_message_length": answerMaxBytes,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
    "grpc.enable_http_proxy": 0,
    ...options,
  });
}

/** For calls whose answers come as bytes: what they are is for their reader to say, and to refuse. */
export const asTheyAre = (bytes: Buffer): Buffer => bytes;

/**
 * grpc-js (1.14) forgets the timer of a failed connection when its channel is closed: a second later it connects once
 * more, and nobody closes that connection. After each absence of an agent one would be left.
 */
class ClosedForGood extends Client {
  override close(): void {
    const { data: channel } = internals.safeParse(this.getChannel());
    const subchannels = Object.values(channel?.internalChannel.subchannelPool.pool ?? {}).flat();
    super.close();
    for (const { subchannel } of subchannels) subchannel.stopBackoff();
  }
}

/** As much of a channel as is not told in its types; the test beside this file tells when it changes. */
const subchannel = z.custom<{ stopBackoff(): void }>(
  (value) => typeof value === "object" && value !== null && "stopBackoff" in value,
);
const internals = z.object({
  internalChannel: z.object({
    subchannelPool: z.object({ pool: z.record(z.string(), z.array(z.object({ subchannel }))) }),
  }),
});
