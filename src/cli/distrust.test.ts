import { beforeEach, describe, expect, it } from "vitest";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import type { Status } from "../api/mesh-certificate.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { distrustIn } from "./distrust.ts";
import type { ClusterPlace } from "./place.ts";

const listed = "a1".repeat(32);
const retired = "b2".repeat(32);

type State = "active" | "retiring";

let cluster: ReturnType<typeof fakeCluster>;

beforeEach(() => {
  cluster = fakeCluster();
});

async function create(name: string, roots: Readonly<Record<string, State>>): Promise<void> {
  const notAfter = "2036-01-01T00:00:00.000Z";
  const states = Object.entries(roots).map(([fingerprint, state]) => ({ fingerprint, notAfter, state }));
  const status: Status = { conditions: [], roots: states };
  const path = pathOf(resources.meshCertificates, { namespace: "emissary" });
  await cluster.admin.create(path, {
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    metadata: { name, annotations: { "example.org/theirs": "stays" } },
    spec: { consul: { service: name } },
  });
  await cluster.admin.patch(`${path}/${name}/status`, { status });
}

async function annotations(name: string): Promise<object | undefined> {
  const path = pathOf(resources.meshCertificates, { namespace: "emissary", name });
  const { metadata } = await cluster.admin.get<{ metadata: { annotations?: object } }>(path);
  return metadata.annotations;
}

function distrusted(fingerprint: string, ...names: string[]): Promise<string[]> {
  const place: ClusterPlace = {
    kind: "kubernetes",
    api: { ...cluster.api(cluster.access), text: () => Promise.reject(new Error("nothing is read as text")) },
    namespace: "emissary",
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return distrustIn(place, fingerprint, names);
}

describe("distrust", () => {
  it("marks every identity that retains the root, in any spelling of its fingerprint, and no other", async () => {
    await create("storefront", { [retired]: "retiring", [listed]: "active" });
    await create("billing", { [listed]: "active" });
    await create("orders", { [retired]: "retiring" });
    const done = `the root ${retired} is distrusted`;
    expect(await distrusted("B2:B2:B2:B2:B2")).toEqual([
      `emissary/orders: ${done}`,
      `emissary/storefront: ${done}`,
    ]);
    const marked = { "example.org/theirs": "stays", "attache.dev/distrust": retired };
    expect(await annotations("storefront")).toEqual(marked);
    expect(await annotations("orders")).toEqual(marked);
    expect(await annotations("billing")).toEqual({ "example.org/theirs": "stays" });
  });

  it("adds to what is distrusted already, and may be said twice", async () => {
    const other = "c3".repeat(32);
    await create("storefront", { [retired]: "retiring", [other]: "retiring" });
    await distrusted(retired);
    await distrusted(other, "storefront");
    expect(await annotations("storefront")).toMatchObject({ "attache.dev/distrust": `${retired},${other}` });
    await cluster.admin.patch(
      `${pathOf(resources.meshCertificates, { namespace: "emissary", name: "storefront" })}/status`,
      { status: { conditions: [], roots: [] } },
    );
    expect(await distrusted(retired)).toEqual([
      `emissary/storefront: the root ${retired} was distrusted before`,
    ]);
  });

  it.each([
    [
      "that a mesh lists",
      listed,
      `the mesh still lists the root ${listed}, for emissary/billing`,
      "Have the mesh drop it first",
    ],
    [
      "that no identity has",
      "dead".repeat(4),
      "no root of this fingerprint is published: deaddeaddeaddead",
      "inspect",
    ],
    ["that is not named", "b2b2", '"b2b2" is no fingerprint', "inspect"],
    ["that may be another", "a1a1a1a1", "several roots begin so", "more digits"],
  ])("refuses a root %s, and writes nothing", async (_, fingerprint, problem, remedy) => {
    await create("storefront", { [listed]: "retiring", [`a1a1a1a1${"d".repeat(56)}`]: "retiring" });
    await create("billing", { [listed]: "active" });
    await expect(distrusted(fingerprint)).rejects.toMatchObject({
      code: "ATTACHE_USAGE",
      problem: expect.stringContaining(problem) as string,
      remedy: expect.stringContaining(remedy) as string,
    });
    expect(await annotations("storefront")).toEqual({ "example.org/theirs": "stays" });
  });
});
