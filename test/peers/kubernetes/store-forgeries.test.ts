import { describe, expect, it } from "vitest";
import type { Manifest } from "../../../src/render/manifest.ts";
import { ownershipAnnotations } from "../../../src/render/marks.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { cluster } from "./cluster.ts";
import { runStore, scriptedUses } from "./store-run.ts";
import { startClusterPeer } from "./store-peer.ts";

/**
 * The marks on what is published are annotations, which any user may write on objects of their own
 * namespace.
 */
describe("objects of another namespace that bear an identity's marks", () => {
  it("are not read as its credential, give its context no other name, and withdraw nothing of it", async () => {
    const shared = await cluster();
    const peer = await startClusterPeer(shared);
    const other = await shared.namespace();
    const uses = scriptedUses();
    await using run = await runStore(shared, { uses, namespaces: [peer.namespace, other] }, peer);
    const identity = await run.put("storefront");
    const target = targetOf(identity, "1");
    await run.store.apply(identity, target);
    const published = await peer.objects();

    for (const manifest of target) await forge(manifest, "storefront");
    const [, , context] = target;
    await forge({ ...context, metadata: { ...context.metadata, name: "stolen" } }, "ghost");
    // The forger names it, too.
    uses.set("stolen", [{ kind: "Mapping", namespace: other, name: "web" }]);
    await run.restart();

    // Nothing else is reported: no identity that is gone, no orphan.
    await run.events.next("identity");
    await run.events.next("synced");
    const read = await run.store.read(identity);
    expect(read.map(({ metadata }) => metadata.namespace)).toEqual(target.map(() => run.namespace));
    expect(await run.store.apply(identity, target)).toEqual({ writes: 0 });
    expect(run.store.usesOf(identity)).toEqual([]);
    expect(await peer.objects()).toEqual(published);

    function forge(manifest: Manifest, name: string): Promise<unknown> {
      const annotations = { ...manifest.metadata.annotations, [ownershipAnnotations.name]: name };
      const path =
        manifest.kind === "Secret"
          ? `/api/v1/namespaces/${other}/secrets`
          : `/apis/getambassador.io/v3alpha1/namespaces/${other}/tlscontexts`;
      return shared.admin.create(path, {
        ...manifest,
        metadata: { ...manifest.metadata, namespace: other, annotations },
      });
    }
  });
});
