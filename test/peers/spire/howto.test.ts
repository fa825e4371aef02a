import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { parse, stringify } from "yaml";
import { createRoot } from "../../fixtures/pki.ts";
import { bareDeployment, type FollowedPage, followPage } from "../followed-page.ts";
import { cluster } from "../kubernetes/cluster.ts";
import { readPemSet } from "../pem-set.ts";
import { untilUnderNewRoot } from "./authority.ts";
import { type Spire, startSpire } from "./spire.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

let page: FollowedPage;
let spire: Spire;
let upstream: Upstream;

/** A machine with SPIRE on which a user goes through the page: the commands are on the PATH. */
beforeAll(async () => {
  spire = await startSpire();
  upstream = await startUpstream(spire, "web");
  page = await followPage("without-chart/spire", { fill: onThisMachine });
  await page.provide(
    "spire-server",
    `"${inject("spire")}/spire-server" "$@" -socketPath "${spire.folder}/server.sock"`,
  );
});

afterAll(async () => {
  await page[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
  await spire[Symbol.asyncDispose]();
});

describe("docs/howto/without-chart/spire.md, followed to the letter,", () => {
  it("gives attaché an identity in SPIRE", async () => {
    await page.run(page.block("sh", "1."));
    await spire.untilGiven(["spiffe://example.org/edge"]);
  });

  it("lets attaché reach the agent, which the doctor finds as the page shows", async () => {
    await page.write("attache.yaml", page.block("yaml", "2."));
    await page.write("edge.yaml", page.block("yaml", "3."));
    const { stdout } = await page.run(page.block("sh", "2."));
    expect(stdout.trim()).toBe(onThisMachine(page.block("text", "2.")).trim());
  });

  it("publishes, and says so", async () => {
    const [first, second] = [page.block("sh", "3."), page.block("sh", "3.", 1)];
    const attache = page.start(first);
    await attache.until(
      () => readPemSet(join(page.folder, "published"), "emissary", "edge").then(Boolean, () => false),
      "its files",
    );
    const { stdout } = await page.run(second);
    expect(stdout).toMatch(/edge .*spiffe/);
    expect(stdout).toMatch(/^leaf +\[.* spiffe:\/\/example.org\/edge$/m);
  });

  it("calls a service with what is published", async () => {
    const { stdout } = await page.run(page.block("sh", "4."));
    expect(stdout).toContain("Verify return code: 0 (ok)");
  });

  it("has manifests that a cluster takes", async () => {
    const { kubectl, namespace } = await cluster();
    const own = await namespace();
    const file = async (name: string, text: string) => {
      await page.write(name, text);
      return join(page.folder, name);
    };
    const apply = (path: string) =>
      kubectl("apply", "--dry-run=server", "--validate=strict", "-n", own, "-f", path);
    const inOwn = (yaml: string) => yaml.replace("namespace: emissary", `namespace: ${own}`);
    await apply(await file("mapping.yaml", inOwn(page.block("yaml", "4."))));
    await apply(await file("identity.yaml", inOwn(page.block("yaml", "3."))));
    const [deployment, patch] = [
      await file("deployment.yaml", stringify(bareDeployment)),
      await file("socket.yaml", page.block("yaml", "2.", 1)),
    ];
    const patched = await kubectl("patch", "--local", "-f", deployment, "--patch-file", patch, "-o", "yaml");
    expect(parse(patched)).toMatchObject({
      spec: {
        template: {
          spec: { serviceAccountName: "attache", volumes: [{ csi: { driver: "csi.spiffe.io" } }] },
        },
      },
    });
    await apply(await file("patched.yaml", patched));
  });

  it("follows a rotation of SPIRE's CA by hand", async () => {
    const [prepare, activate, revoke] = [0, 1, 2].map((index) =>
      page.block("sh", "When SPIRE's CA rotates", index),
    );
    await page.run(prepare ?? "");
    const { active, prepared } = await authorities();
    const named = (text = "") => text.replace("PREPARED", prepared).replace("ACTIVE", active);
    await expect.poll(() => page.published("root"), slow).toHaveLength(2);
    const [before] = await page.published("leaf");
    await page.run(named(activate));
    await expect.poll(() => page.published("leaf"), slow).not.toEqual([before]);
    await upstream.renew();
    await untilUnderNewRoot(spire);
    await page.run(named(revoke));
    await expect.poll(() => page.published("root"), slow).toHaveLength(1);
    await upstream.renew();
    const { stdout } = await page.run(page.block("sh", "4."));
    expect(stdout).toContain("Verify return code: 0 (ok)");
  });

  it("publishes the roots of another trust domain, too", async () => {
    const partner = await createRoot({ subject: "CN=partner" });
    await page.write("partner.pem", partner.pem);
    await page.run("spire-server bundle set -id spiffe://partner.example -path partner.pem");
    await spire.deleteEntries();
    await page.run(page.block("sh", "Services of other trust domains"));
    await page.write(
      "attache.yaml",
      `${page.block("yaml", "Services of other trust domains")}${storeSettings()}`,
    );
    await expect.poll(() => page.published("root"), slow).toContainEqual(expect.stringContaining("partner"));
  });
});

const slow = { timeout: 30_000, interval: 500 };

/**
 * What the page leaves to its reader: addresses, the agents' name, and how attaché's process is distinguished from
 * others.
 */
function onThisMachine(text: string): string {
  return text
    .replaceAll("unix:///spiffe-workload-api/spire-agent.sock", spire.endpointSocket)
    .replaceAll("spiffe://example.org/ns/spire/sa/spire-agent", "spiffe://example.org/node")
    .replaceAll(
      "-selector k8s:ns:emissary -selector k8s:sa:attache",
      `-selector unix:uid:${process.getuid?.()}`,
    )
    .replaceAll("web.shop:8443", `127.0.0.1:${upstream.port}`);
}

async function authorities(): Promise<Record<"active" | "prepared", string>> {
  const shown = (await spire.json("localauthority", "x509", "show")) as Record<
    string,
    { authority_id: string }
  >;
  return { active: shown["active"]?.authority_id ?? "", prepared: shown["prepared"]?.authority_id ?? "" };
}

/** The part of the settings on the page that is not about meshes. */
function storeSettings(): string {
  const { store } = parse(page.block("yaml", "2.")) as { store: unknown };
  return stringify({ store });
}
