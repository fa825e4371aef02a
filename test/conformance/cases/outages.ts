import assert from "node:assert/strict";
import type { Check, ConnectionState, Credential, MeshErrorCode } from "../../../src/mesh/adapter.ts";
import { isOtherThan } from "../credentials.ts";
import { assertMeshError } from "../errors.ts";
import type { Scenario } from "../scenario.ts";
import { isAway, isConnected } from "../states.ts";
import type { Peer, Subject } from "../subject.ts";
import { pause, promptMs, within } from "../time.ts";
import type { ConformanceCase, Define } from "./define.ts";

/** What happens while a control plane is unreachable, broken, or refuses. */
export function outageCases<S, I, P extends Peer>(
  define: Define<P>,
  { faults = [], refused = [] }: Subject<S, I, P>,
): ConformanceCase[] {
  return [
    define(
      "waits for a control plane that comes later, and says so",
      ["stop", "resume"],
      async ({ peer, watch, connection }) => {
        const credential = watch().next();
        await connection(isAway, "a report that the control plane is unreachable");
        await peer.resume();
        await Promise.all([credential, connection(isConnected, "the connection")]);
      },
      { prepare: (peer) => peer.stop() },
    ),

    define(
      "keeps its watches while the control plane is unreachable, and reconnects by itself",
      ["stop", "resume", "rotate"],
      async ({ peer, watch, connection }) => {
        const watched = watch();
        const first = await watched.next();
        await connection(isConnected, "the connection");
        await peer.stop();
        await connection(isAway, "a report that the control plane is unreachable");
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
      "reports a remedy when the control plane is unreachable, and does not throw",
      ["stop"],
      async ({ check }) => {
        const checks = await check();
        assertWellFormed(checks);
        assert.ok(checks.some(isFailed), "something is reported as failed");
      },
      { prepare: (peer) => peer.stop() },
    ),

    ...faults.map(({ when, code, inject, heal }) =>
      define(
        `reports ${code} when ${when}, and recovers`,
        [],
        async (scenario) => {
          await seen(code, scenario);
          assertWellFormed(await scenario.check());
          await heal(scenario.peer);
          await credentialAfterRetries(scenario);
        },
        { prepare: inject },
      ),
    ),

    ...refused.map(({ what, identity }) =>
      define(`refuses ${what} at once`, [], async ({ watch }) => {
        const error = await within(promptMs, watch({ identity }).end(), "the refusal");
        assertMeshError(error);
        assert.equal(error.code, "ATTACHE_MESH_IDENTITY_REFUSED");
        assert.equal(error.retryable, false, "only a changed identity or mode helps");
      }),
    ),
  ];
}

function isFailed({ status }: Check): boolean {
  return status === "failed";
}

function assertWellFormed(checks: readonly Check[]): void {
  assert.ok(checks.length > 0, "there is something to check");
  for (const { name, status, message, remedy = "" } of checks) {
    assert.ok(name !== "" && message !== "", "a check says what was looked at, and what was seen");
    assert.ok((remedy === "") === (status === "ok"), `"${name}" has a remedy exactly when it is not ok`);
  }
}

/**
 * A fault may concern the identity, and end its watch, or the control plane, and be reported as its state.
 */
async function seen(code: MeshErrorCode, { watch, connection }: Scenario<Peer>): Promise<void> {
  const isIt = (state: ConnectionState) => !state.connected && state.error.code === code;
  const reported = connection(isIt, `a report of ${code}`).then(() => undefined);
  const error = await Promise.race([reported, watch().end()]);
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
