import { describe, expect, it, onTestFinished, vi } from "vitest";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { ApiRequest, KubeClient } from "../../kube/client.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import { followCluster, viewCluster } from "./view.ts";

const path = (name?: string) => pathOf(resources.meshCertificates, { namespace: "edge", name });

async function follow(more: Partial<KubeClient> = {}) {
  const { admin, api: open } = fakeCluster();
  const put = (name: string) =>
    admin.apply(path(name), {
      metadata: { name, namespace: "edge" },
      spec: { consul: { service: name } },
    });
  await put("web");
  const api = open();
  const requests: string[] = [];
  const request = <T>(asked: ApiRequest): Promise<T> => {
    requests.push(asked.path);
    return api.request(asked);
  };
  const known = await viewCluster({ ...api, request }, { namespace: "edge" });
  const followed = followCluster({ ...api, request, ...more }, { namespace: "edge" }, known);
  onTestFinished(() => followed[Symbol.asyncDispose]());
  const names = () => followed.current.views.map(({ identity }) => identity.metadata.name);
  return { admin, put, requests, followed, names };
}

describe("what is in a cluster, followed", () => {
  it("is reported as it comes, changes and goes, and is listed once", async () => {
    const { admin, put, requests, followed, names } = await follow();
    expect(names()).toEqual(["web"]);
    await put("api");
    await vi.waitFor(() => expect(names()).toEqual(["api", "web"]));
    await admin.patch(`${path("web")}/status`, { status: { conditions: [], serialNumber: "07" } });
    await vi.waitFor(() => expect(followed.current.views[1]?.status?.serialNumber).toBe("07"));
    await admin.delete(path("api"));
    await vi.waitFor(() => expect(names()).toEqual(["web"]));
    expect(requests).toEqual([path()]);
  });

  it("stays as it was last seen where it may not be watched, and says so", async () => {
    const forbidden = new ApiError("ATTACHE_KUBERNETES_FORBIDDEN", "no", { status: 403 });
    const { followed, names } = await follow({
      watch: () => {
        throw forbidden;
      },
    });
    await vi.waitFor(() => expect(followed.current.problems).toEqual([forbidden]));
    expect(names()).toEqual(["web"]);
  });
});
