/**
 * The suite that every adapter must pass, published as `attache/conformance`. It needs no test runner:
 *
 *     for (const { name, run, skip } of adapterConformance(subject)) {
 *       it.skipIf(skip !== undefined)(name, run);
 *     }
 *
 * Limits on time are there so that a failure ends; nothing passes or fails by being fast.
 */
import { credentialCases } from "./cases/credentials.ts";
import { casesOf, type ConformanceCase } from "./cases/define.ts";
import { endingCases } from "./cases/endings.ts";
import { outageCases } from "./cases/outages.ts";
import { schemaCases } from "./cases/schemas.ts";
import type { Peer, Subject } from "./subject.ts";

export { createAuthority } from "../../src/mesh/development/authority.ts";
export type { ConformanceCase } from "./cases/define.ts";
export type { Control, Fault, Peer, Refused, Subject } from "./subject.ts";

/** The cases for one adapter with one kind of control plane; each is independent of the others. */
export function adapterConformance<S, I, P extends Peer>(subject: Subject<S, I, P>): ConformanceCase[] {
  const define = casesOf(subject);
  return [
    ...schemaCases(define, subject),
    ...credentialCases(define),
    ...endingCases(define),
    ...outageCases(define, subject),
  ];
}
