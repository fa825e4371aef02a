/**
 * The suite that every adapter must pass, published as `attache/conformance`. It needs no test runner:
 *
 *     for (const { name, run, skip } of adapterConformance(subject)) {
 *       it.skipIf(skip !== undefined)(name, run);
 *     }
 *
 * Limits on time are there so that a failure ends; nothing passes or fails by being fast.
 */
import assert from "node:assert/strict";
import type { Check, ConnectionState, Credential, MeshErrorCode } from "../../src/mesh/adapter.ts";
import { fingerprints, rootsOf } from "./credentials.ts";
import { assertMeshError, pause, play, promptMs, type Scenario, within } from "./scenario.ts";
import { type Control, controls, type Peer, type Refused, type Subject } from "./subject.ts";

export type { Control, Fault, Peer, Refused, Subject } from "./subject.ts";

export interface ConformanceCase {
  /** A sentence: what the adapter does; with the reason, if it is skipped. */
  readonly name: string;
  /** Resolves if the adapter does so. @throws AssertionError if it does not. */
  readonly run: () => Promise<void>;
  /** Why it cannot be tried on this subject: the reason given in `gaps`. */
  readonly skip?: string;
}

export function adapterConformance<S, I, P extends Peer>(subject: Subject<S, I, P>): ConformanceCase[] {
  const { faults = [], refused = [] } = subject;

  /** A case whose peer has the controls that it needs. */
  function define<const C extends Control = never>(
    name: string,
    needs: readonly C[],
    body: (scenario: Scenario<Equipped<P, C>>) => Promise<void> | void,
    prepare?: (peer: Equipped<P, C>) => Promise<void>,
  ): ConformanceCase {
    const missing = needs.find((control) => subject.gaps?.[control] !== undefined);
    const skip = missing === undefined ? undefined : subject.gaps?.[missing];
    const start = async () => equipped(await subject.start(), needs);
    const run = () => play({ ...subject, start }, body, prepare);
    return skip === undefined ? { name, run } : { name: `${name} (skipped: ${skip})`, run, skip };
  }

  return [
    define("takes what its user writes, and refuses what it does not know", [], ({ peer }) => {
      assert.ok(subject.adapter.settings.safeParse(peer.settings).success);
      assert.ok(subject.adapter.identity.safeParse(peer.identity).success);
      assert.ok(!subject.adapter.settings.safeParse(withUnknownKey(peer.settings)).success);
      assert.ok(!subject.adapter.identity.safeParse(withUnknownKey(peer.identity)).success);
    }),

    define("lists no gap that its peer does not have", [], ({ peer }) => {
      for (const control of controls) {
        assert.notEqual(peer[control] === undefined, subject.gaps?.[control] === undefined, control);
      }
    }),

    define(
      "yields the present credential first, complete, and reports the connection",
      [],
      async (scenario) => {
        await scenario.watch().next();
        await scenario.connection(isConnected, "the connection");
      },
    ),

    define("goes on from a current credential", [], async ({ watch }) => {
      const current = await watch().next();
      await watch({ current }).next();
    }),

    define("yields each new leaf", ["rotate"], async ({ peer, watch }) => {
      const watched = watch();
      const first = await watched.next();
      await peer.rotate();
      const second = await watched.until(isOtherThan(first), "a second leaf");
      await peer.rotate();
      await watched.until(isOtherThan(second), "a third leaf");
    }),

    define(
      "lets a slow consumer see the newest credential and no backlog",
      ["rotate"],
      async ({ peer, watch }) => {
        const [slow, fast] = [watch(), watch()];
        const first = await slow.next();
        let newest = await fast.next();
        const shared = leafOf(first) === leafOf(newest);
        for (let rotations = 0; rotations < 3; rotations += 1) {
          await peer.rotate();
          newest = await fast.until(isOtherThan(newest), "a new leaf");
        }
        const seen = await slow.until(isOtherThan(first), "a new leaf after a pause");
        // One more may have been on its way; three would be a backlog.
        if (shared && leafOf(seen) !== leafOf(newest))
          assert.equal(leafOf(await slow.next()), leafOf(newest));
      },
    ),

    define(
      "trusts the old root and the new while the mesh lists both",
      ["rotateRoot"],
      async ({ peer, watch }) => {
        const watched = watch();
        const old = await watched.next();
        await peer.rotateRoot();
        await watched.until((credential) => {
          const added = fingerprints(credential.bundle).filter(
            (root) => !fingerprints(old.bundle).includes(root),
          );
          for (const root of rootsOf(old)) {
            assert.ok(fingerprints(credential.bundle).includes(root), "the old root stays in the bundle");
          }
          return rootsOf(credential).some((root) => added.includes(root));
        }, "a leaf under the new root");
      },
    ),

    define(
      "no longer lists a root that the mesh has dropped",
      ["rotateRoot", "dropOldRoots"],
      async ({ peer, watch }) => {
        const watched = watch();
        const old = await watched.next();
        await peer.rotateRoot();
        const rotated = await watched.until(
          (credential) => rootsOf(credential).some((root) => !fingerprints(old.bundle).includes(root)),
          "a leaf under the new root",
        );
        await peer.dropOldRoots();
        await watched.until((credential) => {
          return credential.bundle.length < rotated.bundle.length;
        }, "a bundle without the old root");
      },
    ),

    define("keeps several watchers of one mesh apart", ["rotate"], async ({ peer, watch }) => {
      const [staying, aborting, leaving] = [watch(), watch(), watch()];
      const [first] = await Promise.all([staying.next(), aborting.next(), leaving.next()]);
      const ended = aborting.end();
      aborting.abort(new Error("no longer wanted"));
      await Promise.all([within(promptMs, ended, "the end of an aborted watch"), leaving.leave()]);
      await peer.rotate();
      await staying.until(isOtherThan(first), "a new leaf");
      await watch().until(isOtherThan(first), "a new leaf for a watcher that comes later");
    }),

    define("ends a watch within a second of its abort, with the signal's reason", [], async ({ watch }) => {
      const watched = watch();
      await watched.next();
      const ended = watched.end();
      const reason = new Error("the identity was deleted");
      watched.abort(reason);
      assert.equal(await within(promptMs, ended, "the end of an aborted watch"), reason);
    }),

    define("yields nothing to a watcher whose signal has aborted before", [], async ({ watch }) => {
      const reason = new Error("the identity was deleted");
      const watched = watch({ signal: AbortSignal.abort(reason) });
      await assert.rejects(within(promptMs, watched.next(), "the end of an aborted watch"), reason);
    }),

    define("ends a watch whose consumer leaves its loop", [], async ({ watch }) => {
      const watched = watch();
      await watched.next();
      await watched.leave();
    }),

    define("ends all watches when it is disposed of", [], async ({ watch, dispose }) => {
      const [one, other] = [watch(), watch()];
      await Promise.all([one.next(), other.next()]);
      const ended = Promise.all([one.end(), other.end()]);
      await dispose();
      await within(promptMs, ended, "the end of all watches");
    }),

    define(
      "waits for a control plane that comes later, and says so",
      ["stop", "resume"],
      async ({ peer, watch, connection }) => {
        const credential = watch().next();
        await connection(isAway, "a report that the control plane is away");
        await peer.resume();
        await Promise.all([credential, connection(isConnected, "the connection")]);
      },
      (peer) => peer.stop(),
    ),

    define(
      "ends a watch at once that waits for a control plane",
      ["stop"],
      async ({ watch, connection }) => {
        const watched = watch();
        const ended = watched.end();
        await connection(isAway, "a report that the control plane is away");
        const reason = new Error("the identity was deleted");
        watched.abort(reason);
        assert.equal(await within(promptMs, ended, "the end of an aborted watch"), reason);
      },
      (peer) => peer.stop(),
    ),

    define(
      "keeps its watches through an absence of the control plane, and finds back by itself",
      ["stop", "resume", "rotate"],
      async ({ peer, watch, connection }) => {
        const watched = watch();
        const first = await watched.next();
        await connection(isConnected, "the connection");
        await peer.stop();
        await connection(isAway, "a report that the control plane is away");
        await peer.resume();
        await connection(isConnected, "the connection after the absence");
        await peer.rotate();
        await watched.until(isOtherThan(first), "a new leaf after the absence");
      },
    ),

    define("finds nothing failed when all is well", [], async ({ watch, check }) => {
      await watch().next();
      const checks = await check();
      assertWellFormed(checks);
      assert.deepEqual(checks.filter(isFailed), []);
    }),

    define(
      "tells what to do when the control plane is away, and does not throw",
      ["stop"],
      async ({ check }) => {
        const checks = await check();
        assertWellFormed(checks);
        assert.ok(checks.some(isFailed), "something is reported as failed");
      },
      (peer) => peer.stop(),
    ),

    ...faults.map((fault) =>
      define(
        `reports ${fault.code} when ${fault.when}, and recovers`,
        [],
        async (scenario) => {
          await faultSeen(scenario, fault.code);
          assertWellFormed(await scenario.check());
          await fault.heal(scenario.peer);
          await credentialAfterRetries(scenario);
        },
        (peer) => fault.inject(peer),
      ),
    ),

    ...refused.map(({ what, identity }: Refused) =>
      define(`refuses ${what} at once`, [], async ({ watch }) => {
        const error = await within(promptMs, watch({ identity }).end(), "the refusal");
        assertMeshError(error);
        assert.equal(error.code, "ATTACHE_MESH_IDENTITY_REFUSED");
        assert.equal(error.retryable, false);
      }),
    ),
  ];
}

type Equipped<P extends Peer, C extends Control> = P & Required<Pick<Peer, C>>;

function equipped<P extends Peer, C extends Control>(peer: P, needs: readonly C[]): Equipped<P, C> {
  assert.ok(
    has(peer, needs),
    `the peer has not all of ${needs.join(", ")}: add it, or the reason to \`gaps\``,
  );
  return peer;
}

function has<P extends Peer, C extends Control>(peer: P, needs: readonly C[]): peer is Equipped<P, C> {
  return needs.every((control) => peer[control] !== undefined);
}

function withUnknownKey(written: unknown): unknown {
  return { ...(written as object), noSuchKeyOfAnyAdapter: true };
}

function leafOf({ chain }: Credential): string {
  return chain[0].fingerprint;
}

function isOtherThan(earlier: Credential): (credential: Credential) => boolean {
  return (credential) => leafOf(credential) !== leafOf(earlier);
}

function isConnected(state: ConnectionState): boolean {
  return state.connected;
}

const absences: ReadonlySet<MeshErrorCode> = new Set<MeshErrorCode>([
  "ATTACHE_MESH_UNREACHABLE",
  "ATTACHE_MESH_UNAVAILABLE",
  "ATTACHE_MESH_TIMEOUT",
]);

function isAway(state: ConnectionState): boolean {
  return !state.connected && absences.has(state.error.code) && state.error.retryable;
}

function isFailed({ status }: Check): boolean {
  return status === "failed";
}

function assertWellFormed(checks: readonly Check[]): void {
  assert.ok(checks.length > 0, "there is something to check");
  for (const { name, status, message, remedy = "" } of checks) {
    assert.ok(name !== "" && message !== "", "a check says what was looked at, and what was seen");
    assert.equal(remedy === "", status === "ok", `"${name}" has a remedy exactly when it is not ok`);
  }
}

/** The fault may concern one identity, and end its watch, or the whole control plane, and be a state of it. */
async function faultSeen(scenario: Scenario<Peer>, code: MeshErrorCode): Promise<void> {
  const isIt = (state: ConnectionState) => !state.connected && state.error.code === code;
  const state = scenario.connection(isIt, `a report of ${code}`);
  const end = scenario.watch().end();
  const error = await Promise.race([state.then(() => undefined), end]);
  if (error === undefined) return;
  assertMeshError(error);
  assert.equal(error.code, code);
}

/** As the reconciler does it: watches again when a watch ends. */
async function credentialAfterRetries(scenario: Scenario<Peer>): Promise<Credential> {
  try {
    return await scenario.watch().next();
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    assertMeshError(error);
    await pause();
    return await credentialAfterRetries(scenario);
  }
}
