/**
 * The adapter port, published as `attache/adapter`: the interface to implement for another mesh,
 * and all that an adapter needs from attaché. `attache/conformance` is the suite that it must pass.
 */
export type * from "./port.ts";
export { sleepUntil } from "../runtime/timer-queue.ts";
export { type Clock, systemClock } from "../runtime/clock.ts";
export { parseCredential } from "../credentials/assemble.ts";
export { Certificate } from "../credentials/certificate.ts";
export { parseCertificates } from "../credentials/certificates.ts";
export type { Credential } from "../credentials/credential.ts";
export { CredentialError } from "../credentials/errors.ts";
export { parseSpiffeIdPattern } from "../credentials/spiffe-id.ts";
export type { Logger } from "../telemetry/logger.ts";
export { Backoff, type BackoffOptions } from "../runtime/backoff.ts";
export { MeshError, type MeshErrorCode, type MeshErrorOptions } from "./errors.ts";
export { duration, parseDuration } from "../text/duration.ts";
export { issue, type IssuanceRequest } from "./issuance.ts";
export { ReconnectLoop, type ReconnectLoopOptions } from "./kit/reconnect-loop.ts";
export { LatestValue } from "../runtime/latest-value.ts";
export { sanitizePeerText, type PeerTextOptions } from "../text/peer-text.ts";
export { unlessAborted } from "../runtime/abort.ts";

// The names of version 0.1.0, for plug-ins that were built with it.
export { LatestValue as Newest } from "../runtime/latest-value.ts";
export { sanitizePeerText as peerText } from "../text/peer-text.ts";
export { KeptConnection, type ReconnectLoopOptions as KeptConnectionOptions } from "./kit/reconnect-loop.ts";
export type { IdentityOwner as Bearer } from "./port.ts";
