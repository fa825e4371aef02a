import { describe, expect, it } from "vitest";
import type { ObservedObject } from "./backend.ts";
import { OwnedObjects } from "./owned-objects.ts";

const owner = { namespace: "edge", name: "web", uid: "u1" };
const context = { kind: "TLSContext", namespace: "edge", name: "web" } as const;
const secret = { kind: "Secret", namespace: "edge", name: "web-mesh-cert" } as const;

function observed(
  ref: typeof context | typeof secret,
  resourceVersion: string,
  content?: string,
): ObservedObject {
  return {
    ...ref,
    ...{ uid: "o1", resourceVersion, labels: {}, editor: "kubectl", own: { labels: [], annotations: [] } },
    annotations: {
      "attache.dev/installation": "attache",
      "attache.dev/identity": "u1",
      "attache.dev/name": "web",
    },
    ...(content !== undefined && { content }),
  };
}

function published(ref: typeof context | typeof secret) {
  const drifts: string[] = [];
  const owned = new OwnedObjects({ installation: "attache", onDrift: ({ name }) => drifts.push(name) });
  owned.answered(observed(ref, "1", "ours"), owner);
  const write = () => {
    const answer = Promise.withResolvers<ObservedObject | undefined>();
    const done = owned.writing(ref, async () => {
      const answered = await answer.promise;
      if (answered !== undefined) owned.answered(answered, owner);
    });
    return {
      async end(answered?: ObservedObject) {
        answer.resolve(answered);
        await done;
      },
    };
  };
  return { owned, drifts, write };
}

describe("the cache of owned objects", () => {
  it("knows the version of its last answer, and no other one and no other object of that name", () => {
    const { owned } = published(context);
    const { seen } = owned.get(context) ?? {};
    expect(owned.seenAt(context, { uid: "o1", resourceVersion: "1" })).toBe(seen);
    expect(owned.seenAt(context, { uid: "o1", resourceVersion: "2" })).toBeUndefined();
    expect(owned.seenAt(context, { uid: "o2", resourceVersion: "1" })).toBeUndefined();
    expect(owned.seenAt(secret, { uid: "o1", resourceVersion: "1" })).toBeUndefined();
  });

  it("finds an object under its new owner, and no more under the former one", () => {
    const { owned } = published(context);
    const heir = { ...owner, uid: "u2" };
    const other = { namespace: "edge", name: "other", uid: "u3" };
    owned.answered(observed(context, "2", "ours"), heir);
    expect([owned.of(heir), owned.of({ ...owner, name: "gone" })]).toMatchObject([[context], []]);
    owned.answered(observed(context, "3", "ours"), other);
    expect([owned.of(other), owned.of(heir)]).toMatchObject([[context], []]);
  });

  it("loses no edit that a watch shows while an apply and a nudge are in flight", async () => {
    const { owned, drifts, write } = published(context);
    const apply = write();
    owned.see(observed(context, "5", "theirs"));
    const nudge = write();
    await apply.end();
    await nudge.end();
    expect(drifts).toEqual(["web"]);
    expect(owned.get(context)?.seen?.content).toBe("theirs");
  });

  it("takes the event of its own write for an echo, whether it comes before the answer or after it", async () => {
    for (const ref of [context, secret]) {
      const { owned, drifts, write } = published(ref);
      const [before, after] = [write(), write()];
      const content = ref.kind === "Secret" ? undefined : "new";
      owned.see(observed(ref, "2", content));
      await before.end(observed(ref, "2", "new"));
      await after.end(observed(ref, "3", "new"));
      owned.see(observed(ref, "3", content));
      expect(drifts).toEqual([]);
      expect(owned.get(ref)).toMatchObject({ state: "synced", seen: { resourceVersion: "3" } });
    }
  });

  it("takes the event of its own removal for an echo, also if it comes before the answer", async () => {
    const { owned, drifts } = published(context);
    await owned.writing(context, async () => {
      owned.lose(observed(context, "2"));
      await Promise.resolve();
      owned.markDeleted(context);
    });
    owned.lose(observed(context, "2"));
    expect(drifts).toEqual([]);
    expect(owned.get(context)?.state).toBe("deleted");
  });

  it("reports an edit that is newer than the answer, although its event came first", async () => {
    for (const ref of [context, secret]) {
      const { owned, drifts, write } = published(ref);
      const apply = write();
      owned.see(observed(ref, "3", ref.kind === "Secret" ? undefined : "theirs"));
      await apply.end(observed(ref, "2", "new"));
      expect(drifts).toEqual(["web"]);
      expect(owned.get(ref)?.seen?.resourceVersion).toBe("3");
    }
  });

  it("ignores events that are older than the last answer, and those that change nothing attaché wrote", () => {
    const { owned, drifts } = published(context);
    owned.answered(observed(context, "7", "ours"), owner);
    owned.see(observed(context, "6", "theirs"));
    owned.see(observed(context, "8", "ours"));
    expect(drifts).toEqual([]);
    owned.see(observed(context, "9", "theirs"));
    expect(drifts).toEqual(["web"]);
  });
});
