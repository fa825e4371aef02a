import { Server, type ServerWritableStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import { listen, listenOnSocket, shutDown } from "../../../src/mesh/development/grpc-server.ts";
import { spiffeWorkloadAPI, type X509SVIDRequest, type X509SVIDResponse } from "../proto/workload.pb.ts";

/**
 * A SPIFFE Workload API that behaves as the SPIRE agent does: refuses a call without the security header, ends one with
 * PermissionDenied when there is no identity for it, and else pushes all identities whenever one has changed.
 */
export interface WorkloadServer extends AsyncDisposable {
  /** Where it listens, as `endpointSocket` has it. */
  readonly url: string;
  /** Replaces what is given, and pushes it. */
  set(answer: X509SVIDResponse): void;
  /** Pushes what is given a second time. */
  pushAgain(): void;
  /** Ends all calls, as if all had been said. */
  endCalls(): void;
  /** Ends all calls with an error, and later ones at once. */
  fail(error: CallFailure): void;
  /** Serves again after `fail`. */
  recover(): void;
  /** How many calls are open. */
  readonly calls: number;
}

export interface CallFailure {
  readonly code: status;
  readonly details: string;
}

/** Is given each answer before it is sent, and says what goes out: `undefined` for nothing, bytes as they are. */
export type WorkloadTamper = (answer: X509SVIDResponse) => X509SVIDResponse | Buffer | undefined;

interface WorkloadServerOptions {
  /** A file that is left over there is removed. */
  readonly socketPath?: string | undefined;
  /** Of 127.0.0.1, where there is no socket; by default any that is free. */
  readonly port?: number;
  readonly tamper?: WorkloadTamper;
}

export async function startWorkloadServer({
  socketPath,
  port = 0,
  tamper = asItIs,
}: WorkloadServerOptions): Promise<WorkloadServer> {
  const calls = new Set<Call>();
  let answer: X509SVIDResponse = { svids: [], federatedBundles: {} };
  let failure: CallFailure | undefined;

  function push(call: Call): void {
    if (failure !== undefined) end(call, failure);
    else if (answer.svids.length === 0) end(call, noIdentity);
    else {
      const sent = tamper(answer);
      if (sent !== undefined) call.write(sent);
    }
  }

  function end(call: Call, error: CallFailure): void {
    call.emit("error", error);
  }

  function pushAll(): void {
    for (const call of calls) push(call);
  }

  const server = new Server();
  server.addService(service, {
    FetchX509SVID(call: Call) {
      if (call.metadata.get("workload.spiffe.io")[0] !== "true") {
        end(call, noHeader);
        return;
      }
      calls.add(call);
      // "close" comes on every way out: the client's cancel, a broken connection, our own end.
      call.on("close", () => calls.delete(call));
      push(call);
    },
  });
  const url =
    socketPath === undefined
      ? `tcp://127.0.0.1:${await listen(server, `127.0.0.1:${port}`)}`
      : await listenOnSocket(server, socketPath).then(() => `unix://${socketPath}`);

  return {
    url,
    set(next) {
      answer = next;
      pushAll();
    },
    pushAgain: pushAll,
    endCalls() {
      for (const call of calls) call.end();
    },
    fail(error) {
      failure = error;
      pushAll();
    },
    recover() {
      failure = undefined;
    },
    get calls() {
      return calls.size;
    },
    [Symbol.asyncDispose]: () => shutDown(server),
  };
}

type Call = ServerWritableStream<X509SVIDRequest, X509SVIDResponse | Buffer>;

const asItIs: WorkloadTamper = (answer) => answer;

/** pkg/agent/endpoints/workload/handler.go and middleware.go. */
const noIdentity: CallFailure = { code: status.PERMISSION_DENIED, details: "no identity issued" };
const noHeader: CallFailure = {
  code: status.INVALID_ARGUMENT,
  details: "security header missing from request",
};

const { fetchX509SVID } = spiffeWorkloadAPI;
const service: ServiceDefinition = {
  FetchX509SVID: {
    ...fetchX509SVID,
    responseSerialize: (answer: X509SVIDResponse | Buffer) =>
      Buffer.isBuffer(answer) ? answer : fetchX509SVID.responseSerialize(answer),
  },
};
