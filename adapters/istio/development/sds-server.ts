import { Server, type ServiceDefinition } from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import { listenOnSocket, orBytes, shutDown } from "../../../src/mesh/development/server.ts";
import { type Secret, secretDiscoveryService } from "../proto/sds.pb.ts";
import {
  type SdsCall,
  type Context,
  type StreamFailure,
  type SdsRefusal,
  SdsStream,
  type SdsTamper,
  type Versioned,
} from "./sds-stream.ts";

export type { StreamFailure, SdsRefusal, SdsTamper } from "./sds-stream.ts";

/**
 * A secret discovery service on a Unix socket that behaves as the Istio agent does, oddities included: it
 * pushes only what changed, refuses a first request without `node.id`, ignores stale nonces, never sends
 * again what was refused, and answers an unknown name with the workload certificate, once.
 */
export interface SdsServer extends AsyncDisposable {
  /** Replaces a secret, and pushes it to those who follow it. */
  set(secret: Secret): void;
  /** Pushes a secret as it is, a second time. */
  pushAgain(name: string): void;
  /** Ends all streams, as if all had been said. */
  endStreams(): void;
  /** Ends all streams with an error, and later ones as soon as they ask, as the agent does without its CA. */
  fail(error: StreamFailure): void;
  /** Serves again after `fail`. */
  recover(): void;
  /** What clients have refused (NACK), the oldest first. */
  readonly refusals: readonly SdsRefusal[];
  /** How many streams are open. */
  readonly streams: number;
}

interface SdsServerOptions {
  /** Path of the socket; a file that is left over there is removed. */
  readonly socket: string;
  readonly tamper?: SdsTamper;
}

export async function startSdsServer({ socket, tamper }: SdsServerOptions): Promise<SdsServer> {
  const secrets = new Map<string, Versioned>();
  const streams = new Set<SdsStream>();
  const refusals: SdsRefusal[] = [];
  const context: Context = { secrets, refusals, tamper: tamper ?? ((answer) => answer), failure: undefined };

  const server = new Server();
  server.addService(service, {
    StreamSecrets(call: SdsCall) {
      const stream = new SdsStream(call, context);
      streams.add(stream);
      // "close" comes on every way out: the client's cancel, a broken connection, our own end.
      call.on("close", () => streams.delete(stream));
    },
  });
  await listenOnSocket(server, socket);

  return {
    refusals,
    get streams() {
      return streams.size;
    },
    set(next) {
      secrets.set(next.name, { secret: next, version: randomUUID() });
      for (const stream of streams) stream.changed(next.name);
    },
    pushAgain(name) {
      for (const stream of streams) stream.changed(name);
    },
    endStreams() {
      for (const stream of streams) stream.end();
    },
    fail(error) {
      context.failure = error;
      for (const stream of streams) stream.end(error);
    },
    recover() {
      context.failure = undefined;
    },
    [Symbol.asyncDispose]: () => shutDown(server),
  };
}

/** Without DeltaSecrets and FetchSecrets, which the agent does not implement either. */
const service: ServiceDefinition = { StreamSecrets: orBytes(secretDiscoveryService.streamSecrets) };
