import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it, vi } from "vitest";
import { type DevelopmentConsulAgent, startDevelopmentAgent } from "../../fixtures/consul-agent/agent.ts";
import { startAttache } from "../../../src/app/attache.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { loadSettings } from "../../../src/config/load.ts";
import { type Permission, permissions } from "../../../src/kube/permissions.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { type Cluster, cluster, type OwnCluster, type Rule, startCluster } from "./cluster.ts";

const trustDomain = "11111111-2222-3333-4444-555555555555.consul";
let agent: DevelopmentConsulAgent;
let streaming: Cluster;
/** One that sends no lists through watches, as before Kubernetes 1.34. */
let listing: OwnCluster;
let folder: string;

beforeAll(async () => {
  streaming = await cluster();
  listing = await startCluster();
  await listing.apiServer.stop();
  await listing.apiServer.start("--feature-gates=WatchList=false");
  folder = await mkdtemp(join(tmpdir(), "attache-permissions-"));
  const authority = await createAuthority({ trustDomain, clock: systemClock });
  agent = await startDevelopmentAgent({ authority, clock: systemClock });
});

afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await listing[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

interface Case {
  readonly verb: string;
  readonly name: string;
  readonly permission: Permission;
  /** Where TLSContexts and those who name them are watched. */
  readonly clusterWide: boolean;
  readonly place: string;
}

/**
 * Touches of Mappings need an Emissary that misses a rotation: touch-mapping.test.ts shows what their rights
 * are for. The console's are for requests to it: reviews.test.ts. Events in attaché's own namespace are of reloads: faults.test.ts.
 */
const cases: Case[] = permissions
  .filter((permission) => permission.where !== "touches" && permission.where !== "console")
  .filter((permission) => !isOfReloads(permission))
  .flatMap((permission) =>
    permission.verbs.flatMap((verb) => {
      const one = { verb, name: nameOf(permission), permission };
      const inNamespace = { ...one, clusterWide: false, place: "its namespace" };
      return permission.where === "consumers"
        ? [{ ...one, clusterWide: true, place: "the whole cluster" }, inNamespace]
        : [inNamespace];
    }),
  );

function isOfReloads({ where, resource }: Permission): boolean {
  return where === "own" && resource === "events";
}

function nameOf({ resource, subresource }: Permission): string {
  return subresource === undefined ? resource : `${resource}/${subresource}`;
}

/** What attaché may do, without one verb on one resource: everywhere, or in its namespace. */
function rulesWithout(missing: Case, where: "everywhere" | "here"): Rule[] {
  const isEverywhere = (permission: Permission) => permission.where === "consumers" && missing.clusterWide;
  return permissions
    .filter((permission) => isEverywhere(permission) === (where === "everywhere"))
    .filter((permission) => !isOfReloads(permission))
    .map((permission) => ({
      apiGroups: [permission.group],
      resources: [nameOf(permission)],
      verbs: permission.verbs.filter((verb) => permission !== missing.permission || verb !== missing.verb),
    }))
    .filter(({ verbs }) => verbs.length > 0);
}

/** What must happen for the verb to be missed, once the identity is there. */
const occasions: Readonly<Record<string, (world: World) => Promise<unknown>>> = {
  "get secrets": ({ admin, namespace }) =>
    admin.patch(pathOf(resources.secrets, { namespace, name: "web-mesh-ca" }), {
      data: { "tls.crt": "eA==" },
    }),
  "patch secrets": ({ service }) => agent.renew(service),
  "delete secrets": ({ remove }) => remove(),
  "get tlscontexts": ({ admin, namespace, context }) =>
    admin.patch(pathOf(resources.tlsContexts, { namespace, name: context }), { spec: { sni: "x" } }),
  "patch tlscontexts": ({ admin, namespace, context }) =>
    admin.patch(pathOf(resources.tlsContexts, { namespace, name: context }), { spec: { secret: "x" } }),
  "delete tlscontexts": ({ remove }) => remove(),
};

type World = Awaited<ReturnType<typeof open>>;

async function open(missing: Case) {
  const shared = missing.verb === "list" ? listing : streaming;
  const { admin } = shared;
  const namespace = await shared.namespace();
  const { kubeconfig } = await shared.serviceAccount(namespace, "attache", rulesWithout(missing, "here"), {
    clusterWide: rulesWithout(missing, "everywhere"),
  });
  const [service, context] = [`${namespace}-service`, `${namespace}-context`];
  const config = join(folder, `${namespace}.yaml`);
  await writeFile(
    config,
    JSON.stringify({
      meshes: { consul: { adapter: "consul", ...agent.settings } },
      store: {
        kind: "kubernetes",
        kubernetes: {
          namespaces: [namespace],
          consumers: { clusterWide: missing.clusterWide },
          kubeconfig,
        },
      },
      emissary: [{ namespace }],
      limits: { deletionGrace: "0s" },
      server: { enabled: false },
    }),
  );
  const path = (name?: string) => pathOf(resources.meshCertificates, { namespace, name });
  await admin.create(path(), {
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    metadata: { name: "web" },
    spec: { consul: { service }, target: { tlsContext: { name: context } } },
  });
  return {
    admin,
    namespace,
    service,
    context,
    config,
    ready: async () => {
      const { status } = await admin.get<{ status?: { conditions: { type: string; status: string }[] } }>(
        path("web"),
      );
      return status?.conditions.some((one) => one.type === "Ready" && one.status === "True") ?? false;
    },
    remove: () => admin.delete(path("web")),
  };
}

/** Says the same of a Mapping twice. */
async function twiceExposed(
  { admin, namespace, context }: World,
  said: () => Promise<boolean>,
): Promise<void> {
  const path = (name?: string) => pathOf(resources.mappings, { namespace, name });
  const spec = { prefix: "/", service: "web" };
  await admin.create(path(), {
    apiVersion: "getambassador.io/v3alpha1",
    kind: "Mapping",
    metadata: { name: "web" },
    spec: { ...spec, tls: `${namespace}-typo` },
  });
  for (let round = 0; !(await said()); round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await admin.patch(path("web"), { spec: { tls: round % 2 === 0 ? context : `${namespace}-typo` } });
  }
}

describe.concurrent("without one of its permissions attaché says which: it may not", () => {
  it.each(cases)("$verb $name in $place", async (missing) => {
    const { verb, name, permission } = missing;
    const world = await open(missing);
    const logged: string[] = [];
    const logger = createLogger("info", { write: (line) => void logged.push(line) });
    const loaded = await loadSettings(world.config);
    await using _attache = await startAttache({ loaded, logger, clock: systemClock, env: {} });
    const { group, resource, subresource } = permission;
    const dotted = [group === "" ? resource : `${resource}.${group}`, subresource].filter(Boolean).join("/");
    // A status is of one object, whose namespace the refusal names.
    const isEverywhere = missing.clusterWide && verb !== "patch";
    const place = isEverywhere ? "the whole cluster" : `namespace ${world.namespace}`;
    const message = `may not ${verb} ${dotted} in ${place}`;
    const isSaid = () => logged.some((line) => line.includes(message));
    const says = () =>
      vi.waitFor(
        () => {
          if (!isSaid()) throw new Error(`not reported: ${message}\n${logged.join("")}`);
        },
        { timeout: 45_000, interval: 100 },
      );
    const occasion = occasions[`${verb} ${name}`];
    if (occasion !== undefined || (verb === "patch" && name === "events")) {
      await vi.waitFor(
        async () => {
          if (!(await world.ready())) throw new Error(`not ready\n${logged.join("")}`);
        },
        { timeout: 45_000, interval: 200 },
      );
    }
    if (verb === "patch" && name === "events") await twiceExposed(world, () => Promise.resolve(isSaid()));
    await occasion?.(world);
    await says();
  });
});
