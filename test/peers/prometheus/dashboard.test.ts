import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { start } from "../../fixtures/cli.ts";
import { startEmissary } from "../../e2e/emissary.ts";
import { startGuarded } from "../guarded.ts";
import { operatorRules } from "../kubernetes/pod.ts";
import { longWait, Stage } from "../kubernetes/stage.ts";
import { choosing, drawnPanels, readDashboard, seriesOfPanels } from "./dashboard.ts";
import { pictureOf, takesPictures, terminalPicture } from "../picture.ts";
import { type Prometheus, startPrometheus } from "./server.ts";

const repository = resolve(import.meta.dirname, "../../..");

const open = new AsyncDisposableStack();
afterAll(() => open.disposeAsync());

let prometheus: Prometheus;
let namespace: string;
let stage: Stage;
const { panels, variables } = await readDashboard();

/**
 * Two clusters: in one an attaché with an API server, an Envoy, a Mapping in plaintext and an identity that is
 * deleted while it is used; in the other the demo, whose leaves live for two minutes and whose meshes are killed.
 */
beforeAll(async () => {
  stage = open.use(await Stage.open());
  const { admin, access } = stage.cluster;
  ({ namespace } = stage);
  const emissary = open.use(await startEmissary({ access, admin, namespace }));
  const attache = await stage.startWith({ ...stage.settings(), emissary: [emissary.settings] });
  await stage.untilReady();
  const [used = "", unused = ""] = stage.names;
  for (const [name, spec] of Object.entries({
    web: { tls: used, service: "https://127.0.0.1:9", stats_name: "web" },
    plain: { tls: `${namespace}-typo`, service: "127.0.0.1:9" },
  }))
    await admin.create(pathOf(resources.mappings, { namespace }), {
      ...{ apiVersion: "getambassador.io/v3alpha1", kind: "Mapping", metadata: { name } },
      spec: { hostname: "*", prefix: `/${name}/`, ...spec },
    });
  await stage.until("Served", "True/Served", used);
  await admin.delete(pathOf(resources.meshCertificates, { namespace, name: used }));
  await stage.until("Terminating", "True/InUse", used);

  const folder = await mkdtemp(join(tmpdir(), "attache-dashboard-"));
  open.defer(() => rm(folder, { recursive: true }));
  const args = ["--conditions=development", join(repository, "src/main.ts"), "demo", "--chaos"];
  const demo = open.use(startGuarded(process.execPath, [...args, "--directory", folder]));
  const address = () => /^The metrics: http:\/\/(\S+)\/metrics$/m.exec(demo.output())?.[1];
  let metrics: string | undefined;
  await demo.until(() => Promise.resolve((metrics ??= address()) !== undefined), "it served metrics");

  prometheus = open.use(
    await startPrometheus([
      { addresses: [`127.0.0.1:${attache.port}`], labels: { cluster: "east", namespace } },
      { addresses: [metrics ?? ""], labels: { cluster: "west", namespace: "demo" } },
    ]),
  );
  // Rates, and a rotation.
  await vi.waitFor(async () => {
    const [rotations] = await prometheus.query(
      'sum(increase(attache_rotations_total{cause!="initial"}[5m])) > 0 and sum(rate(attache_kube_requests_total[30s])) > 0',
    );
    expect(rotations).toBeDefined();
    await stage.renew(unused, String(Date.now()));
  }, longWait);
}, 180_000);

const cases = panels.flatMap(({ title, targets }) =>
  targets.map(({ expr, refId }) => [title, refId, expr] as const),
);

describe("each query of the dashboard", () => {
  it.each(cases)("(%s, %s) has an answer over what two attachés serve", async (_, __, expr) => {
    const all = choosing(expr, variables);
    // What is shown only where something is wrong is shown in any case.
    const shown = all.replace(/ (?:==|!=|>) [01]\b/g, "");
    await vi.waitFor(async () => {
      await prometheus.query(all);
      expect(await prometheus.query(shown)).not.toEqual([]);
    }, longWait);
  });

  it("is about the chosen cluster, installation and namespace alone", async () => {
    for (const [, , expr] of cases) {
      const own = await prometheus.query(choosing(expr, { ...variables, cluster: "east" }));
      expect(own.filter(({ metric }) => metric["cluster"] === "west")).toEqual([]);
      const none = choosing(expr, { ...variables, installation: "no-such", namespace: "no-such" });
      const left = (await prometheus.query(none)).filter(({ value }) => value !== 0);
      // An alert about an installation that is gone has no label of it.
      if (!none.includes("ALERTS")) expect([expr, left]).toEqual([expr, []]);
    }
  });
});

describe("the dashboard", () => {
  it("shows what is wrong in the two clusters", async () => {
    const value = async (title: string) => {
      const { targets = [] } = panels.find((panel) => panel.title === title) ?? {};
      const [sample] = await prometheus.query(choosing(targets[0]?.expr ?? "", variables));
      return sample?.value;
    };
    await vi.waitFor(async () => {
      expect(await value("Consumers exposed")).toBe(1);
      expect(await value("Alerts")).toBeGreaterThanOrEqual(1);
      expect(await value("Installations without a leader")).toBe(0);
      expect(await value("Identities not ready")).toBe(0);
      expect(await value("Shortest life left")).toBeGreaterThan(0);
    }, longWait);
  });

  it.runIf(takesPictures)("is beside a picture of what `attache status` prints", async () => {
    const { kubeconfig } = await stage.cluster.serviceAccount(namespace, "operator", operatorRules, {
      in: "*",
    });
    const { stdout } = await start(["status", "--kubeconfig", kubeconfig]).finished;
    // Of the same length: the columns stay.
    await terminalPicture("attache status", stdout.replaceAll(namespace, "storefront"), "status");
  });

  it.runIf(takesPictures)("has its picture", { timeout: 300_000 }, async () => {
    const seconds = 150;
    await vi.waitFor(
      async () => {
        const [age] = await prometheus.query(`count_over_time(up{cluster="west"}[10m]) > ${seconds}`);
        expect(age).toBeDefined();
      },
      { timeout: 240_000, interval: 1_000 },
    );
    const end = Math.floor(Date.now() / 1_000);
    const range = { start: end - seconds, end, step: 1 };
    // The first two rows: README.md has no place for more.
    const last = panels.findIndex(({ title }) => title === "Served, and exposed");
    const drawn = panels.slice(0, last);
    const queried = drawn.filter(({ type }) => type !== "row");
    const data = await seriesOfPanels(prometheus, queried, variables, range);
    await pictureOf(drawnPanels(drawn, data, range), "dashboard");
  });
});
