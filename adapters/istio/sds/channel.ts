import { type Client, type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import { asTheyAre } from "../../../src/mesh/kit/grpc/channel.ts";
import { type DiscoveryRequest, secretDiscoveryService } from "../proto/sds.pb.ts";

/** A stream of answers, as bytes. */
export function openStream(client: Client): ClientDuplexStream<DiscoveryRequest, Buffer> {
  const { path, requestSerialize } = secretDiscoveryService.streamSecrets;
  const call = client.makeBidiStreamRequest(path, requestSerialize, asTheyAre, new Metadata(), {});
  // grpc-js emits one more error after a cancel, when nobody listens any longer.
  call.on("error", () => undefined);
  return call;
}
