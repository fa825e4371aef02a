import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Cluster, MeshError } from "../../../src/mesh/adapter.ts";
import type { ListedRoots } from "../../../src/credentials/certificates.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { createRoot } from "../../../test/fixtures/pki.ts";
import { followRoots } from "./roots.ts";

const root = await createRoot();
const other = await createRoot();
const { signal } = new AbortController();
const clock = manualClock();

describe("the mesh's roots", () => {
  it("are those in the ConfigMap that istiod writes, and follow it", async () => {
    const cluster = clusterWith({
      "istio-ca-root-cert": [{ "root-cert.pem": root.pem }, { "root-cert.pem": root.pem + other.pem }],
    });
    expect(await all(followRoots({}, { cluster, clock, signal }))).toEqual([
      { bundle: [root.certificate], leftOut: [] },
      { bundle: [root.certificate, other.certificate], leftOut: [] },
    ]);
  });

  it("may stand in a ConfigMap of another name, or in a ClusterTrustBundle", async () => {
    const cluster = clusterWith({ mine: [{ "root-cert.pem": root.pem }] }, { theirs: [other.pem] });
    const ports = { cluster, clock, signal };
    const [mine] = await all(followRoots({ configMap: "mine" }, ports));
    expect(mine).toMatchObject({ bundle: [root.certificate] });
    const [theirs] = await all(followRoots({ clusterTrustBundle: "theirs" }, ports));
    expect(theirs).toMatchObject({ bundle: [other.certificate] });
  });

  it("that are missing or broken are reported with the place", async () => {
    const cluster = clusterWith({
      "istio-ca-root-cert": [undefined, { ca: "" }, { "root-cert.pem": "<html>" }, { "root-cert.pem": "" }],
    });
    const found = await all(followRoots({}, { cluster, clock, signal }));
    expect(found.map((error) => MeshError.is(error) && [error.code, error.problem])).toEqual([
      ["ATTACHE_MESH_CLUSTER", "there is no ConfigMap istio-ca-root-cert of attaché's namespace"],
      [
        "ATTACHE_MESH_CLUSTER",
        "the ConfigMap istio-ca-root-cert of attaché's namespace has no root-cert.pem",
      ],
      ["ATTACHE_MESH_MALFORMED", "the ConfigMap istio-ca-root-cert of attaché's namespace: not PEM"],
      [
        "ATTACHE_MESH_MALFORMED",
        "the ConfigMap istio-ca-root-cert of attaché's namespace holds no certificate",
      ],
    ]);
    const bundles = followRoots(
      { clusterTrustBundle: "x" },
      { cluster: clusterWith({}, { x: [undefined] }), clock, signal },
    );
    expect((await all(bundles))[0]).toMatchObject({
      problem: "there is no ClusterTrustBundle x",
      remedy: expect.stringContaining("ENABLE_CLUSTER_TRUST_BUNDLE_API") as string,
    });
  });

  it("cannot be read of a cluster where there is none", () => {
    expect(() => followRoots({}, { clock, signal })).toThrow("attaché knows no Kubernetes cluster");
  });

  it("in a file are looked at again and again, and reported when they change", async () => {
    const folder = await mkdtemp(join(tmpdir(), "attache-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, "root-cert.pem");
    const found = followRoots({ file }, { clock, signal })[Symbol.asyncIterator]();
    expect((await found.next()).value).toMatchObject({
      code: "ATTACHE_MESH_TLS",
      problem: `the roots in ${file} cannot be read (ENOENT)`,
    });
    for (const pem of [root.pem, other.pem]) {
      const next = found.next();
      await clock.sleeping(1);
      await writeFile(file, pem);
      await clock.advance(5_000);
      const { bundle } = (await next).value as ListedRoots;
      expect(bundle.map((certificate) => certificate.toPem())).toEqual([pem]);
    }
  });
});

/** Whose ConfigMaps and ClusterTrustBundles have these values, one after the other. */
function clusterWith(
  configMaps: Readonly<Record<string, readonly (Readonly<Record<string, string>> | undefined)[]>>,
  bundles: Readonly<Record<string, readonly (string | undefined)[]>> = {},
): Cluster {
  return {
    configMap: (name) => each(configMaps[name]),
    clusterTrustBundle: (name) => each(bundles[name]),
  };
}

async function* each<T>(values: readonly T[] = []): AsyncGenerator<T> {
  for (const value of values) yield await Promise.resolve(value);
}

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = [];
  for await (const value of values) seen.push(value);
  return seen;
}
