import assert from "node:assert/strict";
import type { Adapter } from "../../../src/mesh/adapter.ts";
import { controls, type Peer, type Subject } from "../subject.ts";
import type { ConformanceCase, Define } from "./define.ts";

/** What can be said of an adapter without its control plane doing anything. */
export function schemaCases<S, I, P extends Peer>(
  define: Define<P>,
  { adapter, gaps }: Subject<S, I, P>,
): ConformanceCase[] {
  return [
    define("takes what its user writes, and refuses what it does not know", [], ({ peer }) => {
      assert.ok(takes(adapter.settings, peer.settings), "settings");
      assert.ok(takes(adapter.identity, peer.identity), "identity");
      assert.ok(!takes(adapter.settings, withUnknownKey(peer.settings)), "settings with an unknown key");
      assert.ok(!takes(adapter.identity, withUnknownKey(peer.identity)), "identity with an unknown key");
    }),

    define("lists no gap that its peer does not have", [], ({ peer }) => {
      for (const control of controls) {
        assert.ok((peer[control] === undefined) === (gaps?.[control] !== undefined), control);
      }
    }),
  ];
}

function takes(schema: Adapter<unknown, unknown>["settings"], written: unknown): boolean {
  return schema.safeParse(written).success;
}

function withUnknownKey(written: unknown): unknown {
  return { ...(written as object), noSuchKeyOfAnyAdapter: true };
}
