import assert from "node:assert/strict";
import { fingerprints, isOtherThan, leafOf, rootsOf } from "../credentials.ts";
import { isConnected } from "../states.ts";
import type { Peer } from "../subject.ts";
import type { ConformanceCase, Define } from "./define.ts";

/** What a watch yields while all is well. */
export function credentialCases<P extends Peer>(define: Define<P>): ConformanceCase[] {
  return [
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
        // Where each watch has leaves of its own, only the backlog shows.
        const areShared = leafOf(first) === leafOf(newest);
        for (let rotations = 0; rotations < 3; rotations += 1) {
          await peer.rotate();
          newest = await fast.until(isOtherThan(newest), "a new leaf");
        }
        const seen = await slow.until(isOtherThan(first), "a new leaf after a pause");
        // One more may have been on its way; with a backlog of three it is another one still.
        if (areShared && leafOf(seen) !== leafOf(newest))
          assert.equal(leafOf(await slow.next()), leafOf(newest));
      },
    ),

    define("keeps several watchers of one mesh apart", ["rotate"], async ({ peer, watch }) => {
      const [staying, aborting, leaving] = [watch(), watch(), watch()];
      const [first] = await Promise.all([staying.next(), aborting.next(), leaving.next()]);
      aborting.abort(new Error("no longer wanted"));
      await Promise.all([aborting.end(), leaving.leave()]);
      await peer.rotate();
      await staying.until(isOtherThan(first), "a new leaf");
      await watch().until(isOtherThan(first), "a new leaf for a watcher that comes later");
    }),

    define(
      "trusts the old root and the new while the mesh lists both",
      ["rotateRoot"],
      async ({ peer, watch }) => {
        const watched = watch();
        const old = await watched.next();
        await peer.rotateRoot();
        await watched.until((credential) => {
          const listed = fingerprints(credential.bundle);
          for (const root of rootsOf(old))
            assert.ok(listed.includes(root), "the old root stays in the bundle");
          return rootsOf(credential).some((root) => !fingerprints(old.bundle).includes(root));
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
        const isUnderNewRoot = (root: string) => !fingerprints(old.bundle).includes(root);
        await watched.until(
          (credential) => rootsOf(credential).some(isUnderNewRoot),
          "a leaf under the new root",
        );
        await peer.dropOldRoots();
        await watched.until(({ bundle }) => fingerprints(bundle).every(isUnderNewRoot), "only the new root");
      },
    ),
  ];
}
