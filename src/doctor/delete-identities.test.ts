import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import type { ApiRequest, KubeClient } from "../kube/client.ts";
import { deleteIdentities } from "./delete-identities.ts";

const release = { name: "attache", namespace: "emissary" };

const made = (name: string, by: string) => ({
  metadata: {
    ...{ name, namespace: "emissary", uid: `uid of ${name}` },
    annotations: { "meta.helm.sh/release-name": by, "meta.helm.sh/release-namespace": "emissary" },
  },
});

/** @param looks after how many lists the deleted ones are gone */
function clusterOf(looks: number) {
  const sent: ApiRequest[] = [];
  const clock = manualClock();
  let items = [made("edge", "attache"), made("theirs", "other")];
  let left = looks;
  const request = (asked: ApiRequest) => {
    if (asked.method === "DELETE") sent.push(asked);
    else if (left-- === 0) items = items.filter(({ metadata }) => metadata.name !== "edge");
    return Promise.resolve({ metadata: { resourceVersion: "1" }, items });
  };
  const deleted = deleteIdentities({ api: { request: request as KubeClient["request"] }, release, clock });
  return { sent, clock, deleted };
}

describe("the deletion of a release's MeshCertificates", () => {
  it("waits until attaché has let go of them, and leaves those of others", async () => {
    const { sent, clock, deleted } = clusterOf(3);
    await clock.sleeping(2);
    await clock.advance(1_000);
    expect(await deleted).toBe(1);
    const path = "/apis/attache.dev/v1alpha1/namespaces/emissary/meshcertificates/edge";
    expect(sent).toMatchObject([{ path, body: { preconditions: { uid: "uid of edge" } } }]);
  });

  it("names those that attaché does not let go of", async () => {
    const { clock, deleted } = clusterOf(Infinity);
    const refused = expect(deleted).rejects.toThrow("MeshCertificate emissary/edge within 100 s");
    await clock.sleeping(2);
    await clock.advance(100_000);
    await refused;
  });
});
