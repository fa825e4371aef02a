import { describe, expect, it } from "vitest";
import { type Consumer, consumerOf } from "../emissary/consumer.ts";
import type { ClusterFinding, Touches } from "./observation.ts";
import { verdictOf } from "./verdict.ts";

const since = new Date("2026-01-01");

function mapping(holder?: Consumer["holder"], service = "web"): Consumer {
  const metadata = { namespace: "shop", name: "web", uid: holder ? "" : "1" };
  const found = consumerOf("Mapping", { metadata, spec: { service, tls: "web" } }, holder);
  if (found === undefined) throw new Error("names no context");
  return found;
}

function other(kind: "AuthService" | "RateLimitService"): Consumer {
  const metadata = { namespace: "shop", name: "other", uid: "2" };
  const found = consumerOf(kind, { metadata, spec: { service: "web", auth_service: "web", tls: "web" } });
  if (found === undefined) throw new Error("names no context");
  return found;
}

function messageOf(consumers: readonly Consumer[], touches: Touches, state: ClusterFinding["state"]): string {
  const cluster = {
    ...{ name: "web", state, consumers, candidates: [], isShared: false, since, lackingMs: 0, isLate: true },
  };
  const pod = {
    ...{ pod: { name: "pod-1", address: "10.0.0.1" }, seenAt: since, answer: undefined, failure: undefined },
    ...{ isResponsive: true, progress: undefined, neededMs: 1_000, gracePeriodMs: 2_000 },
  };
  const emissary = {
    ...{
      name: "emissary/admin",
      ambassadorIds: ["default"],
      clusters: undefined,
      consumersMs: 0,
      pods: [pod],
    },
    ...{ touches, mappingsMs: 0, gracePeriodMs: 2_000, reconfigMaxDelayMs: 1_000, problem: undefined },
  };
  const evaluation = {
    ...{ emissary, clusters: 1, pods: [{ ...pod, clusters: [cluster] }] },
    ...{ lateMs: 0, nextLateMs: undefined, exposures: [] },
  };
  return verdictOf([evaluation], new Date("2026-02-01")).condition?.message ?? "";
}

describe("a cluster that churn starves", () => {
  const oldLeaf = { kind: "oldLeaf", name: "web", notAfter: 1_000 } as const;

  it("has a Mapping that the user may annotate", () => {
    expect(messageOf([mapping()], "starved", oldLeaf)).toContain("annotate Mapping shop/web yourself");
  });

  it.each(["starved", "Mapping"] as const)(
    "of a Mapping in the annotation of a Service names the Service, as no Mapping can be annotated: %s",
    (touches) => {
      const holder = { kind: "Service", namespace: "shop", name: "web-public" };
      const message = messageOf([mapping(holder)], touches, oldLeaf);
      expect(message).toContain("which stands in an annotation of the Service shop/web-public");
      expect(message).not.toContain("annotate Mapping");
    },
  );

  it.each(["AuthService", "RateLimitService"] as const)(
    "of an %s alone has missed nothing, so nothing is to be changed",
    (kind) => {
      const message = messageOf([other(kind)], "starved", oldLeaf);
      expect(message).toContain("Emissary rebuilds this cluster from every snapshot, and so misses none");
      expect(message).not.toContain("change the spec");
    },
  );

  it("of a RateLimitService and a Mapping in an annotation has none to annotate, nor to change", () => {
    const holder = { kind: "Service", namespace: "shop", name: "web-public" };
    const message = messageOf([other("RateLimitService"), mapping(holder)], "starved", oldLeaf);
    expect(message).toContain(
      "nothing heals Mapping shop/web, which stands in an annotation of the Service shop/web-public",
    );
  });

  it("of a Mapping and another one in an annotation has one to annotate", () => {
    const holder = { kind: "Service", namespace: "shop", name: "web-public" };
    expect(messageOf([mapping(holder), mapping()], "starved", oldLeaf)).toContain(
      "annotate Mapping shop/web",
    );
  });
});

it("roots that are not taken name the upstreams that will be refused, and from when on", () => {
  const consumers = Array.from({ length: 7 }, (_, index) => mapping(undefined, `web-${index}:8443`));
  const message = messageOf(consumers, "TLSContext", {
    kind: "oldRoots",
    name: "web",
    notAfter: 1_800_000_000,
  });
  expect(message).toContain(
    "Requests to web-0:8443 (Mapping shop/web), web-1:8443 (Mapping shop/web), web-2:8443 (Mapping shop/web), " +
      "web-3:8443 (Mapping shop/web), web-4:8443 (Mapping shop/web) and 2 more upstreams fail with 503 from when " +
      "the upstream presents a leaf of a root published since then",
  );
  expect(message).toContain(
    "of which the first ends at 2027-01-15T08:00:00.000Z, since 2026-01-01T00:00:00.000Z",
  );
});
