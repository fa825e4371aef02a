/**
 * What adapters are built from, published as `attache/adapter-kit` beside `attache/adapter`; the built-in
 * ones use nothing else. Only what speaks gRPC need import it as a whole: it loads grpc-js.
 */
export {
  type Address,
  addressText,
  grpcTarget,
  isLocal,
  readAddress,
  type WrittenAddress,
} from "./address.ts";
export { withoutZone } from "../../text/host.ts";
export { expectedRenewal, isOverdue, owedRenewal, type RenewalDeadline } from "./agent-renewal.ts";
export { checking, checkMs, failed, late, type Limit, ok, warning, within } from "./checks.ts";
export { connectionError, type ConnectionRemedies } from "./connection-errors.ts";
export { codeOf, type ErrorRow, type Meaning, meshErrorOf, reading, rowFor } from "./errors.ts";
export {
  type CallOptions,
  callStream,
  callUnary,
  type Conversation,
  converse,
  type StreamOptions,
} from "./grpc/calls.ts";
export { openChannel, readinessOf } from "./grpc/channel.ts";
export { probeGrpc, type ProbeOptions } from "./grpc/probe.ts";
export { TlsCredentials, tlsOptions, type Verification } from "./grpc/tls.ts";
export { grpcError, type GrpcPeer, isServiceError } from "./grpc/errors.ts";
export { merge, PairAssembler, type Parts, tornProblem } from "./pair-assembler.ts";
export { type Codec, type Protocol, protocol } from "./protocol.ts";
export {
  firstOf,
  mayPass,
  ReconnectLoop,
  type ReconnectLoopOptions,
  type RetryOptions,
} from "./reconnect-loop.ts";
export { firstThatWorks, forEach, polling, restarting, retrying } from "./retry.ts";
export { socketPathMaxBytes, type SocketRemedies, trySocket } from "./unix-socket.ts";
