import { type ChannelCredentials, type ChannelOptions, Client, credentials } from "@grpc/grpc-js";

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
  return new Client(target, security, {
    "grpc.max_receive_message_length": answerMaxBytes,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
    "grpc.enable_http_proxy": 0,
    ...options,
  });
}

/** For calls whose answers come as bytes: what they are is for their reader to say, and to refuse. */
export const asTheyAre = (bytes: Buffer): Buffer => bytes;
