import type { Status } from "../../../src/api/status.ts";
import type { Consumer } from "../../../src/emissary/consumer.ts";
import type { Exposure } from "../../../src/emissary/exposure.ts";
import type { ConsoleIdentity } from "../../../src/console/source.ts";
import type { EmissaryEvaluation } from "../../../src/ingress/observation.ts";
import { MeshError } from "../../../src/mesh/errors.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { condition, consoleIdentity, type Shown, shown, unreachable } from "../../fixtures/console.ts";
import { stateWith } from "../../fixtures/state.ts";

const hour = 3_600_000;

/** A status whose leaf is in the middle of its life, each one at another point. */
function living(index: number): Partial<Status> {
  const now = Date.now();
  const passed = ((index * 7919) % 60) / 100;
  const time = (share: number) => new Date(now + (share - passed) * 72 * hour).toISOString();
  return {
    notBefore: time(0),
    renewalTime: time(0.66),
    notAfter: time(1),
    lastRotationTime: time(0),
    usedByCount: index % 4,
  };
}

const names = ["storefront", "checkout", "billing", "search", "catalog", "accounts", "shipping", "reviews"];

/** @param count how many identities there are, all of them good. */
export function many(count: number): ConsoleIdentity[] {
  return Array.from({ length: count }, (_, index) => {
    const serial = Math.floor(index / names.length);
    const name = `${names[index % names.length] ?? ""}${serial === 0 ? "" : `-${serial}`}`;
    return consoleIdentity(name, living(index));
  });
}

/** What an engineer on call may meet: a mesh that does not answer, an exposed Mapping, a pod with an older leaf. */
export async function troubled(): Promise<Shown> {
  const authority = await createAuthority({
    ...{ clock: systemClock, trustDomain: "example.consul", leafLifetimeMs: 72 * hour },
  });
  await authority.rotateRoot();
  const roots = authority.roots().map(({ certificate }) => certificate);
  const identities = many(24).map((one, index): ConsoleIdentity => {
    const { status } = one;
    if (index % 8 !== 2 || status === undefined) return one;
    return {
      ...one,
      status: { ...status, conditions: [condition("Ready"), unreachable, condition("Published")] },
    };
  });
  const storefront = await whole(identities[0] ?? consoleIdentity("storefront"), authority, roots);
  const error = new MeshError("ATTACHE_MESH_UNREACHABLE", "consul.mesh:8502 refuses connections", {
    remedy: "Check the address, the network, and that the servers run.",
  });
  return shown({
    state: stateWith({
      lease: { holder: "attache-7d4f9_x" },
      ingress: { pods: { answering: 2, silent: 0, frozen: 0 }, exposed: 1, leaves: () => [] },
    }),
    identities: [storefront, ...identities.slice(1)],
    exposures: [exposure],
    meshes: [
      { name: "consul", connection: { connected: false, error } },
      { name: "istio", connection: { connected: true } },
    ],
    loadedOf: () => loaded(Date.parse(storefront.status?.notAfter ?? "")),
  });
}

async function whole(
  one: ConsoleIdentity,
  authority: Awaited<ReturnType<typeof createAuthority>>,
  bundle: ConsoleIdentity["certificates"]["bundle"],
): Promise<ConsoleIdentity> {
  const { chain } = await authority.issue({
    uri: "spiffe://example.consul/ns/default/dc/dc1/svc/storefront",
  });
  const [leaf] = chain;
  const lastTransitionTime = new Date(Date.now() - 2 * hour).toISOString();
  const status: Status = {
    conditions: [
      condition("Ready", {
        reason: "Valid",
        message: "The leaf is valid until its end.",
        lastTransitionTime,
      }),
      condition("SourceReady", {
        reason: "Received",
        message: 'The mesh "consul" provides certificates.',
        lastTransitionTime,
      }),
      condition("Published", {
        reason: "Published",
        message: "Secret storefront-mesh-cert, CA Secret storefront-mesh-ca.",
        lastTransitionTime,
      }),
      condition("Served", {
        ...{ status: "False", reason: "NotTaken" },
        message: "Pod edge-6c9 presents a former leaf in cluster_checkout. attaché touches the TLSContext.",
        lastTransitionTime,
      }),
      condition("Protected", {
        ...{ status: "False", reason: "Plaintext" },
        message: "Mapping shop/legacy sends plaintext: its tls names no TLSContext that Emissary has.",
        lastTransitionTime,
      }),
    ],
    spiffeId: leaf.uris[0] ?? "",
    ...living(3),
    roots: bundle.map(({ fingerprint, notAfter }, index) => ({
      ...{ fingerprint, notAfter: notAfter.toISOString(), state: index === 0 ? "active" : "retiring" },
      ...(index > 0 && { retireAt: new Date(Date.now() + 20 * hour).toISOString() }),
    })),
    usedBy: [
      { kind: "Mapping", namespace: "shop", name: "checkout" },
      { kind: "Mapping", namespace: "shop", name: "legacy", exposure: "plaintext" },
    ],
    usedByCount: 2,
  };
  return { ...one, status, certificates: { chain, bundle } };
}

const consumer: Consumer = {
  ...{ kind: "Mapping", namespace: "shop", name: "legacy", uid: "1", ambassadorIds: ["default"] },
  ...{ context: "storefront-old", isHttps: false },
};

const exposure: Exposure = {
  ...{ consumer, severity: "plaintext", reason: "ContextMissing" },
  message:
    'No TLSContext has the name "storefront-old": Emissary sends plaintext. Name "storefront" in `tls`.',
};

function loaded(notAfterMs: number): readonly EmissaryEvaluation[] {
  const cluster = (name: string, state: object) => ({
    ...{
      name,
      state,
      since: new Date(Date.now() - hour),
      candidates: [],
      consumers: [{ ...consumer, name: "checkout" }],
    },
  });
  const served = { kind: "served", name: "cluster_storefront" };
  const old = { kind: "oldLeaf", name: "cluster_checkout", notAfter: notAfterMs / 1_000 - 86_400 };
  const pod = (name: string, clusters: readonly object[]) => ({
    pod: { name, address: "10.0.0.1" },
    clusters,
  });
  const pods = [
    pod("edge-5f7", [cluster("cluster_storefront", served), cluster("cluster_checkout", served)]),
    pod("edge-6c9", [cluster("cluster_storefront", served), cluster("cluster_checkout", old)]),
  ];
  // The parts that the console shows.
  return [{ emissary: { name: "emissary/emissary-ingress-admin" }, pods }] as unknown as EmissaryEvaluation[];
}
