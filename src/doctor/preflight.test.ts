import { describe, expect, it } from "vitest";
import { crd } from "../api/crd.ts";
import { ApiError } from "../kube/api-error.ts";
import type { ApiRequest, KubeClient } from "../kube/client.ts";
import type { NextRelease } from "./lost-rights.ts";
import { preflight, upgradeDefinition } from "./preflight.ts";

const release = { name: "attache", namespace: "emissary" };
const next: NextRelease = {
  namespaces: ["emissary"],
  identities: ["emissary/edge"],
  meshes: ["istio"],
  allow: undefined,
};

interface Held {
  readonly name?: string;
  readonly namespace?: string;
  readonly source?: string;
  readonly isOfRelease?: boolean;
  /** The namespace of the installation that serves it. */
  readonly home?: string;
  readonly owner?: string;
  readonly users?: number;
}

function held({ name = "edge", namespace = "emissary", source = "istio", ...more }: Held = {}) {
  const { isOfRelease = true, home = "emissary", owner = "attache", users = 1 } = more;
  const annotations = {
    "meta.helm.sh/release-name": release.name,
    "meta.helm.sh/release-namespace": release.namespace,
  };
  const usedBy = Array.from({ length: users }, (_, index) => ({
    ...{ kind: "Mapping", namespace: "shop", name: `web-${index}` },
  }));
  return {
    metadata: {
      ...{ name, namespace, finalizers: [`${owner}.attache.dev/published`] },
      ...(isOfRelease && { annotations }),
    },
    spec: { [source]: source === "consul" ? { service: "edge" } : {} },
    status: { servedBy: `${home}/${owner}`, usedBy, usedByCount: users },
  };
}

function clusterOf(...items: readonly object[]): Pick<KubeClient, "request"> {
  const request = ({ path }: ApiRequest) =>
    path.includes("meshcertificates")
      ? Promise.resolve({ metadata: { resourceVersion: "1" }, items })
      : Promise.reject(new Error(path));
  return { request: request as KubeClient["request"] };
}

const check = (one: Held | undefined, to: NextRelease | undefined) =>
  preflight({
    ...{ api: clusterOf(held(one)), installation: "attache", release },
    ...{ next: to ?? next, isEnd: to === undefined },
  });

describe("the preflight of an upgrade", () => {
  it.each<[string, Held, NextRelease, string]>([
    ["dropped from the values", { name: "old" }, next, "it is no longer among `identities`"],
    ["in a namespace that is dropped", { namespace: "shop" }, next, "the namespace shop"],
    [
      "a user's in a namespace that is dropped",
      { namespace: "shop", isOfRelease: false },
      next,
      "the namespace shop",
    ],
    [
      "a user's of a mesh that is dropped",
      { source: "consul", isOfRelease: false },
      next,
      'the mesh "consul"',
    ],
    [
      "a user's that no rule grants",
      { name: "theirs", isOfRelease: false },
      { ...next, allow: [] },
      "no rule",
    ],
    [
      "a user's that was granted without rules",
      { namespace: "shop", isOfRelease: false },
      { ...next, namespaces: undefined },
      "no rule",
    ],
  ])("refuses an identity in use, %s, and names its users", async (_, one, to, reason) => {
    await expect(check(one, to)).rejects.toThrow(reason);
    await expect(check(one, to)).rejects.toThrow("used by Mapping shop/web-0");
    await expect(check({ ...one, users: 0 }, to)).resolves.toBeUndefined();
  });

  it("lets pass what stays, what others publish and what acts everywhere", async () => {
    await expect(check({}, next)).resolves.toBeUndefined();
    await expect(check({ name: "theirs", owner: "other" }, next)).resolves.toBeUndefined();
    await expect(check({ name: "made by hand", isOfRelease: false }, next)).resolves.toBeUndefined();
    const elsewhere = { namespace: "shop", isOfRelease: false };
    const rule = { namespaces: ["shop"], mesh: "istio", spiffeIds: ["spiffe://**"], tlsContexts: ["edge"] };
    const everywhere = { ...next, namespaces: undefined, allow: [rule] };
    await expect(check(elsewhere, everywhere)).resolves.toBeUndefined();
    await expect(check({ ...elsewhere, home: "another" }, next)).resolves.toBeUndefined();
  });

  it("names ten users, and counts the others", async () => {
    await expect(check({ name: "old", users: 12 }, next)).rejects.toThrow("web-9 and 2 more");
  });

  it("has nothing to say where there is no CRD", async () => {
    const gone = new ApiError("ATTACHE_KUBERNETES_KIND_UNKNOWN", "no such kind", { status: 404 });
    const api = { request: () => Promise.reject(gone) };
    await expect(
      preflight({ api, installation: "attache", release, next, isEnd: false }),
    ).resolves.toBeUndefined();
  });
});

describe("the preflight of an uninstallation", () => {
  it("refuses as long as anything is in use", async () => {
    await expect(check({}, undefined)).rejects.toThrow("attaché is uninstalled");
    await expect(check({ users: 0 }, undefined)).resolves.toBeUndefined();
    const theirs = { namespace: "shop", isOfRelease: false };
    await expect(check(theirs, undefined)).rejects.toThrow("attaché is uninstalled");
    // An installation of the same name acts there.
    await expect(check({ ...theirs, home: "another" }, undefined)).resolves.toBeUndefined();
  });
});

describe("the upgrade of the CRD", () => {
  async function upgrade(storedVersions: readonly string[]): Promise<readonly ApiRequest[]> {
    const sent: ApiRequest[] = [];
    const request = (asked: ApiRequest) => {
      sent.push(asked);
      return Promise.resolve({ ...crd(), status: { storedVersions } });
    };
    await upgradeDefinition({ request: request as KubeClient["request"] });
    return sent;
  }

  it("applies that of this version", async () => {
    const [, applied] = await upgrade(["v1alpha1"]);
    expect(applied).toMatchObject({ method: "PATCH", contentType: "apply", body: crd() });
  });

  it("leaves a CRD that is not there to what installs it", async () => {
    const gone = new ApiError("ATTACHE_KUBERNETES_KIND_UNKNOWN", "no such CRD", { status: 404 });
    await expect(upgradeDefinition({ request: () => Promise.reject(gone) })).resolves.toBeUndefined();
  });

  it("is refused while objects are stored in a version that it does not know", async () => {
    await expect(upgrade(["v1alpha1", "v9"])).rejects.toThrow("stored as v9");
  });
});
