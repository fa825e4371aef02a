import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { startDevelopmentServer } from "../../../adapters/consul/development/server.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { systemClock as clock } from "../../../src/runtime/clock.ts";
import { startAgent, brokenFrames, bundleFrame, leafFrames } from "./agent.ts";
import { ApiServer } from "./api-server.ts";
import { bundles, type MakeBundle } from "./bundles.ts";
import { largeSpecs, yamlBombs } from "./texts.ts";
import type { Checkout, Victim } from "./victim.ts";

/** What one `attache run` is set up with, and what begins the attack on it. */
export interface Prepared {
  readonly settings: object;
  /** May return, or resolve with, a remark in words. */
  readonly begin: (ports: Victim["ports"]) => unknown;
}

type Attack = (folder: string, checkout: Pick<Checkout, "kind">) => Promise<Prepared>;

/** By what is attacked with. Each runs in a thread of its own, beside the process. */
export const attacks: Readonly<Record<string, Attack>> = {
  ...ofAgent("512 roots of one name on P-521"),
  ...ofAgent("64 roots of one name on P-521, without key identifiers"),
  ...ofAgent("512 roots of RSA with an exponent of 3071 bits"),
  ...ofAgent("roots of RSA with 16384 bits"),
  ...ofAgent("512 roots on a curve that is spelled out"),
  ...ofAgent("64 roots with 200 names each"),
  ...ofAgent("one root with 10,000 name constraints"),
  "SDS: new leaves without end": (folder, checkout) =>
    withAgent(folder, checkout, { flood: leafFrames(300) }),
  "SDS: broken answers without end": (folder, checkout) =>
    withAgent(folder, checkout, { flood: brokenFrames() }),
  ...Object.fromEntries(
    Object.entries(largeSpecs).map(([what, spec]): [string, Attack] => [
      `40 objects with ${what}`,
      (folder, checkout) => withLargeObjects(folder, checkout, spec),
    ]),
  ),
  "YAML bombs in the folder of identities": withYamlBombs,
  "connections that are held, without a request": (folder) => withHolders(folder, ""),
  "connections that are held, in the middle of a request": (folder) =>
    withHolders(folder, "GET /livez HTTP/1.1\r\nHost: x\r\n"),
  "64 scrapers of 500 identities": withScrapers,
  "2,000 first leaves for one namespace": withManyIdentities,
};

function ofAgent(bundle: keyof typeof bundles): Readonly<Record<string, Attack>> {
  const make: MakeBundle = bundles[bundle];
  return {
    [`SDS: ${bundle}`]: (folder, checkout) =>
      withAgent(folder, checkout, {
        bundles: Array.from({ length: 12 }, () => bundleFrame(make().join(""))),
      }),
  };
}

async function withAgent(
  folder: string,
  { kind }: Pick<Checkout, "kind">,
  hostility: Parameters<typeof startAgent>[1],
): Promise<Prepared> {
  const { settings, begin } = await startAgent(join(folder, "agent"), hostility);
  await writeIdentities(folder, "honest", [identity(kind, "a", { istio: {} })]);
  return { settings: { ...inFolder, meshes: { istio: settings } }, begin };
}

const inFolder = { store: { directory: { path: "published", identities: ["identities"] } } };

function identity(kind: string, name: string, spec: object, namespace = "default") {
  return { apiVersion: "attache.dev/v1alpha1", kind, metadata: { name, namespace }, spec };
}

async function writeIdentities(folder: string, file: string, identities: readonly object[]): Promise<void> {
  await mkdir(join(folder, "identities"), { recursive: true });
  const text = identities.map((one) => JSON.stringify(one)).join("\n---\n");
  await writeFile(join(folder, "identities", `${file}.yaml`), text);
}

/** A tenant that writes and changes objects as fast as an API server takes them. */
async function withLargeObjects(
  folder: string,
  { kind }: Pick<Checkout, "kind">,
  spec: object,
): Promise<Prepared> {
  const api = new ApiServer();
  const kubeconfig = await api.listen(folder);
  const kubernetes = { kubeconfig, namespaces: ["attache", "tenant"] };
  const collection = `/apis/attache.dev/v1alpha1/${kind.toLowerCase().replace(/y$/, "ie")}s`;
  return {
    settings: { store: { kind: "kubernetes", kubernetes }, meshes: { consul: consulNowhere } },
    begin() {
      let written = 0;
      setInterval(() => {
        written += 1;
        const name = `large-${written % 40}`;
        api.put(collection, {
          ...identity(kind, name, spec, "tenant"),
          metadata: { name, namespace: "tenant", generation: written },
        });
      }, 50);
    },
  };
}

/** Where nothing listens. */
const consulNowhere = { adapter: "consul", mode: "grpc", addresses: ["http://127.0.0.1:9"] };

async function withYamlBombs(folder: string, { kind }: Pick<Checkout, "kind">): Promise<Prepared> {
  await writeIdentities(folder, "honest", [identity(kind, "a", { consul: { service: "a" } })]);
  return {
    settings: { ...inFolder, meshes: { consul: consulNowhere } },
    async begin() {
      for (const [index, text] of Object.values(yamlBombs(kind)).entries()) {
        await writeFile(join(folder, "identities", `bomb-${index}.yaml`), text);
      }
    },
  };
}

/** @param request what each connection sends before it waits. */
async function withHolders(folder: string, request: string): Promise<Prepared> {
  await mkdir(join(folder, "identities"), { recursive: true });
  const hold = (port: number): void => {
    const connection = connect(port, "127.0.0.1", () => connection.write(request));
    connection.on("error", () => undefined);
    connection.on("close", () => void setTimeout(10).then(() => hold(port)));
  };
  return {
    settings: inFolder,
    begin(ports) {
      for (const port of new Set(Object.values(ports))) for (let left = 80; left > 0; left -= 1) hold(port);
    },
  };
}

async function withScrapers(folder: string, { kind }: Pick<Checkout, "kind">): Promise<Prepared> {
  const identities = Array.from({ length: 500 }, (_, at) =>
    identity(kind, `a-${at}`, { consul: { service: `a-${at}` } }),
  );
  await writeIdentities(folder, "many", identities);
  const scrape = async (url: string): Promise<void> => {
    for (;;)
      await fetch(url)
        .then((page) => page.text())
        .catch(() => undefined);
  };
  return {
    settings: { ...inFolder, meshes: { consul: consulNowhere } },
    begin({ listen }) {
      for (let left = 64; left > 0; left -= 1) void scrape(`http://127.0.0.1:${listen}/metrics`);
    },
  };
}

/** A tenant that may have all that it asks for, while another one asks for its first leaf. */
async function withManyIdentities(folder: string, { kind }: Pick<Checkout, "kind">): Promise<Prepared> {
  const authority = await createAuthority({
    trustDomain: "11111111-2222-3333-4444-555555555555.consul",
    clock,
    leafLifetimeMs: 3_600_000,
  });
  const { settings } = await startDevelopmentServer({ authority });
  const make = (name: string, namespace: string) =>
    identity(kind, name, { consul: { service: name } }, namespace);
  await writeIdentities(folder, "honest", [make("a", "default")]);
  return {
    settings: { ...inFolder, meshes: { consul: { adapter: "consul", ...settings } } },
    async begin() {
      await writeIdentities(
        folder,
        "tenant",
        Array.from({ length: 2_000 }, (_, at) => make(`t-${at}`, "tenant")),
      );
      await setTimeout(1_000);
      const startedAt = performance.now();
      await writeIdentities(folder, "other", [make("other", "other")]);
      while (!existsSync(join(folder, "published/other/TLSContext-other.yaml"))) await setTimeout(20);
      return `first leaf of another namespace after ${Math.round(performance.now() - startedAt)} ms`;
    },
  };
}
