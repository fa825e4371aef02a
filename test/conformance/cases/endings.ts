import assert from "node:assert/strict";
import { isAway } from "../states.ts";
import type { Peer } from "../subject.ts";
import { promptMs, within } from "../time.ts";
import type { ConformanceCase, Define } from "./define.ts";

/** How watches end. */
export function endingCases<P extends Peer>(define: Define<P>): ConformanceCase[] {
  const reason = new Error("the identity was deleted");

  return [
    define("ends a watch within a second of its abort, with the signal's reason", [], async ({ watch }) => {
      const watched = watch();
      await watched.next();
      const end = watched.end();
      watched.abort(reason);
      assert.equal(await within(promptMs, end, "the end of an aborted watch"), reason);
    }),

    define("yields nothing to a watcher whose signal has aborted before", [], async ({ watch }) => {
      await watch().next();
      const watched = watch({ signal: AbortSignal.abort(reason) });
      await assert.rejects(within(promptMs, watched.next(), "the end of an aborted watch"), reason);
    }),

    define(
      "ends a watch as soon that waits for a control plane",
      ["stop"],
      async ({ watch, connection }) => {
        const watched = watch();
        const end = watched.end();
        await connection(isAway, "a report that the control plane is unreachable");
        watched.abort(reason);
        assert.equal(await within(promptMs, end, "the end of an aborted watch"), reason);
      },
      { prepare: (peer) => peer.stop() },
    ),

    define("ends a watch whose consumer leaves its loop", [], async ({ watch }) => {
      const watched = watch();
      await watched.next();
      await watched.leave();
    }),

    // Checked after every case; several rounds leave more than what comes and goes in a test runner's
    // process.
    define(
      "leaves no handle open, however often it is connected",
      [],
      async ({ watch, check }) => {
        await Promise.all([watch().next(), watch().next()]);
        await check();
      },
      { rounds: 5 },
    ),

    define(
      "ends all watches when it is disposed of, and may be disposed of twice",
      [],
      async ({ watch, dispose }) => {
        const [one, other] = [watch(), watch()];
        await Promise.all([one.next(), other.next()]);
        const ends = Promise.all([one.end(), other.end()]);
        await dispose();
        await within(promptMs, ends, "the end of all watches");
      },
    ),
  ];
}
