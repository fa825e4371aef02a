import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { gzipSync } from "node:zlib";
import { type Secret, secret, secretDiscoveryService } from "../../../adapters/istio/proto/sds.pb.ts";
import { secretTypeUrl } from "../../../adapters/istio/sds/secret.ts";
import { privateKeyPem } from "../../../src/credentials/keys.ts";
import { handMadeLeaf, handMadeRoot, leafExtensions, names, uriName } from "../../fixtures/der.ts";

const { responseSerialize, requestDeserialize } = secretDiscoveryService.streamSecrets;

const root = handMadeRoot();
const leaf = () => {
  const extensions = {
    ...leafExtensions,
    names: names(uriName("spiffe://cluster.local/ns/istio/sa/attache")),
  };
  return handMadeLeaf(root, { extensions: Object.values(extensions) });
};
const first = leaf();

/** An agent on a Unix socket that is honest until `begin` is called. */
export interface Agent {
  readonly settings: object;
  readonly begin: () => void;
}

/** Frames of gRPC that the agent sends after it has begun, to each stream. */
interface Hostility {
  /** At each acknowledgement of a bundle, and at the beginning. */
  readonly bundles?: readonly Buffer[];
  /** Without being asked, as fast as the stream takes them. */
  readonly flood?: readonly Buffer[];
}

export async function startAgent(socket: string, hostility: Hostility): Promise<Agent> {
  const { bundles = [], flood = [] } = hostility;
  const server = createServer();
  const bundleStreams = new Set<ServerHttp2Stream>();
  const leafStreams = new Set<ServerHttp2Stream>();
  let hasBegun = false;
  let sent = 0;
  const sendBundle = (stream: ServerHttp2Stream) => stream.write(bundles[(sent += 1) % bundles.length]);
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
    follow(stream, (name, isFirst) => {
      const isBundle = name === "ROOTCA";
      if (isFirst) stream.write(isBundle ? bundleFrame(root.pem) : workloadFrame(first));
      else if (isBundle && hasBegun && bundles.length > 0) sendBundle(stream);
      (isBundle ? bundleStreams : leafStreams).add(stream);
    });
    stream.on("close", () => [bundleStreams, leafStreams].forEach((streams) => streams.delete(stream)));
  });
  await once(server.listen(socket), "listening");
  return {
    settings: { adapter: "istio", mode: "sds", socket },
    begin() {
      hasBegun = true;
      const pourAll = (stream: ServerHttp2Stream) => pour(stream, flood);
      if (bundles.length > 0) bundleStreams.forEach(sendBundle);
      if (flood.length > 0) setInterval(() => leafStreams.forEach(pourAll), 1);
    },
  };
}

function pour(stream: ServerHttp2Stream, frames: readonly Buffer[]): void {
  for (let left = 50; left > 0; left -= 1) {
    if (stream.writableNeedDrain) return;
    stream.write(frames[Math.floor(Math.random() * frames.length)]);
  }
}

/** Calls back for each request on the stream: a subscription first, then acknowledgements. */
function follow(stream: ServerHttp2Stream, asked: (name: string, isFirst: boolean) => void): void {
  let pending = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 5 && pending.length >= 5 + pending.readUInt32BE(1)) {
      const end = 5 + pending.readUInt32BE(1);
      const { resourceNames, responseNonce } = requestDeserialize(pending.subarray(5, end));
      pending = pending.subarray(end);
      asked(resourceNames[0] ?? "", responseNonce === "");
    }
  });
}

/** A frame of gRPC: whether it is compressed, its length, the message. */
function frame(message: Buffer, isCompressed = false): Buffer {
  const head = Buffer.alloc(5);
  head[0] = isCompressed ? 1 : 0;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function answer(value: Secret): Buffer {
  const nonce = randomBytes(8).toString("hex");
  const resources = [{ typeUrl: secretTypeUrl, value: secret.encode(value) }];
  return frame(responseSerialize({ versionInfo: nonce, typeUrl: secretTypeUrl, nonce, resources }));
}

const inline = (pem: string) => ({ inlineBytes: Buffer.from(pem) });

export function bundleFrame(pem: string): Buffer {
  const validationContext = { trustedCa: inline(pem), crl: null, customValidatorConfig: null };
  return answer({ name: "ROOTCA", tlsCertificate: null, validationContext });
}

function workloadFrame({ key, pem }: ReturnType<typeof leaf>): Buffer {
  const tlsCertificate = {
    certificateChain: inline(pem),
    privateKey: inline(privateKeyPem(key)),
    privateKeyProvider: null,
  };
  return answer({ name: "default", tlsCertificate, validationContext: null });
}

/** So many leaves that differ, all under the root of the agent. */
export function leafFrames(count: number): Buffer[] {
  return Array.from({ length: count }, () => workloadFrame(leaf()));
}

/** Answers that are no secrets: nested groups of protobuf, lengths beyond the end, a megabyte that was a gigabyte. */
export function brokenFrames(): Buffer[] {
  return [
    frame(Buffer.alloc(1_000_000, 0x53)),
    frame(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])),
    frame(randomBytes(5_000)),
    frame(gzipSync(Buffer.alloc(200_000_000)), true),
  ];
}
