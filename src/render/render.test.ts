import { expect, it } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { startReconciliation } from "../../test/fixtures/reconciliation.ts";

it("labels are on all that is published, annotations on the TLSContext alone, and our marks stay ours", async () => {
  await using run = await startReconciliation();
  const tlsContext = { annotations: { "example.com/team": "edge" }, sni: "web", ambassadorId: ["edge"] };
  run.store.put(identity("storefront", { target: { labels: { team: "edge" }, tlsContext } }));
  await run.until("Ready", "True/Valid");
  const objects = [...run.store.objects.values()];
  expect(objects.map(({ metadata }) => metadata.labels["team"])).toEqual(["edge", "edge", "edge"]);
  expect(objects.map(({ kind, metadata }) => [kind, metadata.annotations["example.com/team"]])).toEqual([
    ["Secret", undefined],
    ["Secret", undefined],
    ["TLSContext", "edge"],
  ]);
  for (const { metadata } of objects) expect(metadata.annotations["attache.dev/name"]).toBe("storefront");
  expect(objects[2]).toMatchObject({
    spec: { sni: "web", ambassador_id: ["edge"], secret_namespacing: false },
  });
});
