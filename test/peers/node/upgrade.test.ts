import { execFile } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { permissions } from "../../../src/kube/permissions.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { chart } from "../helm/chart.ts";
import { askedIn } from "./audit.ts";
import { createNamespace, describeOnNode } from "./cluster.ts";
import { copyAuthority, startConsul, stopConsul } from "./consul.ts";
import { isReady, type Release, releaseIn } from "./release.ts";

const namespace = "emissary";
const execute = promisify(execFile);

describeOnNode("the versions of a release on a real node", (node) => {
  const { api } = node;
  const release = releaseIn(node, namespace);
  let folder: string;
  let askedBefore: number;

  beforeAll(async () => {
    askedBefore = (await askedIn(node.folder)).length;
    folder = await mkdtemp(join(tmpdir(), "attache-former-"));
    const former = releaseIn(node, namespace, await formerChart(folder));
    await createNamespace(node, namespace);
    await startConsul(node);
    await copyAuthority(node, namespace);
    await former.helm("install", "consul", "--wait", "--timeout=150s");
    await release.until("edge", isReady);
  });
  afterAll(async () => {
    await release.remove();
    await stopConsul(node);
    await rm(folder, { recursive: true });
  });

  /** The versions of what is published, which each write raises. */
  async function published(): Promise<unknown[]> {
    const paths = [
      pathOf(resources.secrets, { namespace, name: "edge-mesh-ca" }),
      pathOf(resources.secrets, { namespace, name: "edge-mesh-cert" }),
      pathOf(resources.tlsContexts, { namespace, name: "edge" }),
    ];
    const objects = await Promise.all(paths.map((path) => api.get(path)));
    return objects.map(({ metadata }) => metadata.resourceVersion);
  }

  it("change without a write to what is published, and with one hand-over, in an upgrade", async () => {
    const before = { published: await published(), pods: await release.pods() };
    const { leaseTransitions = 0 } = await release.lease();
    await release.helm("upgrade", "consul", "--set=podAnnotations.upgraded=yes", "--wait", "--timeout=150s");
    await untilGone(release, before.pods);
    await release.leader();
    expect(await release.lease()).toMatchObject({ leaseTransitions: leaseTransitions + 1 });
    // The new leader is at work when it has published another one.
    await release.helm("upgrade", "consul", "--set=podAnnotations.upgraded=yes", ...withAnother);
    await release.until("other", isReady);
    expect(await published()).toEqual(before.published);
  });

  it("do not go back to one that leaves what is in use, and go back to it afterwards", async () => {
    await api.create(pathOf(resources.mappings, { namespace }), {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name: "web" },
      spec: { prefix: "/web/", service: "https://web.shop", tls: "other" },
    });
    await release.until("other", ({ usedBy = [] }) => usedBy.length > 0);
    const before = await published();
    const back = (revision: string) =>
      release.helm("rollback", undefined, revision, "--wait", "--timeout=150s");
    await expect(back("2")).rejects.toThrow(
      "used by Mapping emissary/web: it is no longer among `identities`",
    );
    await release.until("other", isReady);
    await api.delete(pathOf(resources.mappings, { namespace, name: "web" }));
    await release.until("other", ({ usedBy = [] }) => usedBy.length === 0);
    // Helm takes the refused revision for the present one, and would not delete what only the one before has.
    await back("3");
    await back("2");
    const other = pathOf(resources.meshCertificates, { namespace, name: "other" });
    await vi.waitFor(async () => expect(await api.call("GET", other)).toMatchObject({ status: 404 }));
    expect(await published()).toEqual(before);
  });

  it("need each right of their ServiceAccount, and no other", async () => {
    const context = pathOf(resources.tlsContexts, { namespace, name: "edge" });
    const secret = pathOf(resources.secrets, { namespace, name: "edge-mesh-ca" });
    const drifted = { metadata: { annotations: { "attache.dev/identity": "another" } } };
    for (const path of [context, secret]) await api.patch(path, drifted);
    await vi.waitFor(async () => {
      for (const path of [context, secret]) {
        const { metadata } = await api.get(path);
        expect(metadata["annotations"]).not.toMatchObject(drifted.metadata.annotations);
      }
    });
    const asked = (await askedIn(node.folder)).slice(askedBefore);
    const refused = asked.filter(({ isAllowed }) => !isAllowed);
    expect(refused).toEqual([]);
    const used = new Set(asked.map(({ what }) => what));
    expect(needed.filter((right) => !used.has(right))).toEqual([]);
  });
});

/**
 * Touches need an Emissary that misses a rotation, and the console's rights its users. This API server sends lists through
 * watches, unlike older ones: permissions.test.ts shows what lists are for.
 */
const needed = permissions
  .filter(({ where }) => where !== "touches" && where !== "console")
  .flatMap(({ group, resource, subresource, verbs }) =>
    verbs
      .filter((verb) => verb !== "list" || resource === "secrets")
      .map((verb) => `${verb} ${[resource, subresource].filter(Boolean).join("/")}.${group}`),
  );

const identities = ["edge", "other"].map((name) => ({ name, spec: { consul: { service: name } } }));
const withAnother = [`--set-json=identities=${JSON.stringify(identities)}`, "--wait", "--timeout=150s"];

async function untilGone(release: Release, gone: Awaited<ReturnType<Release["pods"]>>): Promise<void> {
  const uids = new Set(gone.map(({ metadata }) => metadata.uid));
  await vi.waitFor(async () => {
    expect((await release.pods()).filter(({ metadata }) => uids.has(metadata.uid))).toEqual([]);
  });
}

/** The chart before its last change; where the history is not there, e.g. in a shallow clone, as it is. */
async function formerChart(folder: string): Promise<string> {
  const [cwd, path] = [join(chart, "../../.."), "deploy/helm/attache"];
  const git = async (...args: readonly string[]) => (await execute("git", args, { cwd })).stdout;
  try {
    const commit = (await git("log", "-1", "--format=%H", "--", path)).trim();
    const archive = join(folder, "chart.tar");
    await git("archive", `--output=${archive}`, `${commit}^:${path}`);
    await execute("tar", ["-xf", archive, "-C", folder]);
    return folder;
  } catch {
    await cp(chart, folder, { recursive: true });
    return folder;
  }
}
