import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { start } from "../../test/fixtures/cli.ts";
import { serveHttp } from "../../test/fixtures/http-server.ts";

let folder: string;
let leases: readonly object[];
const lease = (namespace: string, name: string, holderIdentity: string) => ({
  ...{ apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { namespace, name } },
  spec: { holderIdentity },
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-console-"));
  const api = await serveHttp((_request, response) => {
    response.setHeader("content-type", "application/json").end(JSON.stringify({ items: leases }));
  });
  await writeFile(
    join(folder, "kubeconfig"),
    JSON.stringify({
      ...{ apiVersion: "v1", kind: "Config", "current-context": "test" },
      clusters: [{ name: "test", cluster: { server: api } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      users: [{ name: "test", user: { token: "canary" } }],
    }),
  );
  // Says what kubectl says, and shows what it was asked for.
  const kubectl =
    '#!/bin/sh\necho "kubectl $*" >&2\necho "Forwarding from 127.0.0.1:4242 -> 9466"\nexec sleep 60\n';
  await writeFile(join(folder, "kubectl"), kubectl);
  await chmod(join(folder, "kubectl"), 0o755);
});

afterEach(() => rm(folder, { recursive: true }));

const run = (...args: readonly string[]) =>
  start(["console", "--kubeconfig", join(folder, "kubeconfig"), ...args], {
    PATH: `${folder}:/usr/bin:/bin`,
  });

describe("attache console", { tags: ["process"] }, () => {
  it("forwards to the replica that leads, and ends with its signal", async () => {
    leases = [
      lease("other", "some-controller", "x_y"),
      lease("mesh", "attache-attache", "attache-7d4_uid_1"),
    ];
    await using console = run();
    await vi.waitFor(() => expect(console.stdout).toBe("The console: http://127.0.0.1:4242/\n"));
    expect(console.stderr).toMatch(/ -n mesh port-forward pod\/attache-7d4 :9466\n$/);
    console.process.kill("SIGINT");
    expect(await console.finished).toMatchObject({ status: 0 });
  });

  it("asks which one if there are several, and says when none leads", async () => {
    leases = [lease("mesh", "attache-one", "a_1"), lease("mesh", "attache-two", "b_1")];
    const several = await run().finished;
    expect(several).toMatchObject({ status: 2, stdout: "" });
    expect(several.stderr).toContain("there are several installations of attaché: mesh/one, mesh/two");
    leases = [lease("mesh", "attache-one", "")];
    const none = await run().finished;
    expect(none).toMatchObject({ status: 2 });
    expect(none.stderr).toContain("no replica of attaché leads here");
  });

  it("says what to do when kubectl fails", async () => {
    leases = [lease("mesh", "attache-attache", "attache-7d4_uid_1")];
    await writeFile(join(folder, "kubectl"), "#!/bin/sh\necho 'error: forbidden' >&2\nexit 1\n");
    const { status, stderr } = await run().finished;
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error: forbidden\nattache: ATTACHE_USAGE: .*\n {2}→ .*pods\/portforward/);
  });

  it("says what to run where there is no kubectl", async () => {
    leases = [lease("mesh", "attache-attache", "attache-7d4_uid_1")];
    await rm(join(folder, "kubectl"));
    await using console = start(["console", "--kubeconfig", join(folder, "kubeconfig")], { PATH: folder });
    const { status, stderr } = await console.finished;
    expect(status).toBe(2);
    expect(stderr).toContain("kubectl cannot be started");
  });
});
