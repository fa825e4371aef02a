import assert from "node:assert/strict";
import { type Body, play, type Play } from "../scenario.ts";
import type { Control, Peer, Subject } from "../subject.ts";

export interface ConformanceCase {
  /** A sentence: what the adapter does; with the reason, if it is skipped. */
  readonly name: string;
  /** Resolves if the adapter does so. @throws AssertionError if it does not. */
  readonly run: () => Promise<void>;
  /** Why it cannot be tried on this subject: the reason given in `gaps`. */
  readonly skip?: string;
}

/** Makes a case whose peer has the controls that it needs. */
export type Define<P extends Peer> = <const C extends Control = never>(
  name: string,
  needs: readonly C[],
  body: Body<Equipped<P, C>>,
  more?: Omit<Play<Equipped<P, C>>, "body">,
) => ConformanceCase;

export type Equipped<P extends Peer, C extends Control> = P & Required<Pick<Peer, C>>;

export function casesOf<S, I, P extends Peer>(subject: Subject<S, I, P>): Define<P> {
  return (name, needs, body, more) => {
    const missing = needs.find((control) => subject.gaps?.[control] !== undefined);
    const skip = missing && subject.gaps?.[missing];
    const start = async () => equipped(await subject.start(), needs);
    const run = () => play({ ...subject, start }, { body, ...more });
    return skip === undefined ? { name, run } : { name: `${name} (skipped: ${skip})`, run, skip };
  };
}

function equipped<P extends Peer, C extends Control>(peer: P, needs: readonly C[]): Equipped<P, C> {
  assert.ok(has(peer, needs), `the peer has ${needs.join(" and ")}, or the reason stands in \`gaps\``);
  return peer;
}

function has<P extends Peer, C extends Control>(peer: P, needs: readonly C[]): peer is Equipped<P, C> {
  return needs.every((control) => peer[control] !== undefined);
}
