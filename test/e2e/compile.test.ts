import { describe, expect, it } from "vitest";
import { compile, pairsOfHosts } from "./compile.ts";
import type { Followed } from "./follow.ts";

function object(name: string, spec: object, data?: Record<string, string>, namespace = "edge"): Followed {
  const metadata = { name, namespace, uid: `${namespace}/${name}`, resourceVersion: "1" };
  return { metadata, spec, ...(data && { data }) };
}

const pair = { "tls.crt": btoa("leaf"), "tls.key": btoa("key") };
const roots = { "tls.crt": btoa("roots") };
const sound = { secret: "cert", ca_secret: "ca" };

/** The cluster of a Mapping, in one line. */
function cluster(mapping: object, context: object = sound, secrets: readonly Followed[] = standard): string {
  const world = new Map([
    ["mappings", [object("web", mapping)]],
    ["tlscontexts", [object("mesh", context)]],
    ["secrets", secrets],
  ]);
  const [origin] = compile(world, "default").values();
  if (origin === undefined) return "none";
  const { statsName, host, port, tls } = origin.cluster;
  const shown = tls && Object.keys(tls).toSorted().join("+");
  return `${statsName} ${host}:${port} ${shown === undefined ? "plaintext" : `TLS ${shown}`}`.trimEnd();
}

const standard = [object("cert", {}, pair), object("ca", {}, roots)];

describe("the cluster of a Mapping", () => {
  it.each([
    ["its context", { service: "web", tls: "mesh" }, "web web:443 TLS ca+pair"],
    ["a port", { service: "10.0.0.7:8443", tls: "mesh" }, "10_0_0_7_8443 10.0.0.7:8443 TLS ca+pair"],
    ["a name for its series", { service: "web", tls: "mesh", stats_name: "x" }, "x web:443 TLS ca+pair"],
    ["https:// and a context", { service: "https://web", tls: "mesh" }, "web web:443 TLS ca+pair"],
    [
      "http:// and a context",
      { service: "http://web.shop", tls: "mesh" },
      "web_shop web.shop:443 TLS ca+pair",
    ],
    ["a context that is not there", { service: "web", tls: "nope" }, "web web:80 plaintext"],
    ["https:// and none that is there", { service: "https://web", tls: "nope" }, "web web:443 TLS"],
    ["tls: true", { service: "web", tls: true }, "web web:443 TLS"],
    ["no tls", { service: "web" }, "web web:80 plaintext"],
    ["another's ambassador_id", { service: "web", ambassador_id: ["edge"] }, "none"],
  ])("with %s", (_, mapping, expected) => expect(cluster(mapping)).toBe(expected));

  const web = { service: "web", tls: "mesh" };
  const plaintext = "web web:80 plaintext";
  const certificateOnly = { "tls.crt": btoa("leaf") };

  it.each<[string, string, object, Followed[]]>([
    ["is another ambassador_id's", plaintext, { ...sound, ambassador_id: ["edge"] }, standard],
    ["has a Secret that is gone", plaintext, { secret: "nope" }, standard],
    ["has a Secret without a key", plaintext, { secret: "cert" }, [object("cert", {}, certificateOnly)]],
    ["has a CA Secret that is gone", plaintext, { ...sound, ca_secret: "nope" }, standard],
    [
      "has a CA Secret with ca.crt only",
      plaintext,
      sound,
      [object("cert", {}, pair), object("ca", {}, { "ca.crt": btoa("roots") })],
    ],
    ["has a CA Secret alone", plaintext, { ca_secret: "ca" }, standard],
    ["has no CA", "web web:443 TLS pair", { secret: "cert" }, standard],
    [
      "has its CA as root-cert.pem",
      "web web:443 TLS ca+pair",
      { secret: "cert" },
      [object("cert", {}, { ...pair, "root-cert.pem": btoa("roots") })],
    ],
    ["names another namespace", "web web:443 TLS pair", { secret: "a.b" }, [object("a", {}, pair, "b")]],
    [
      "has a dot in a name",
      "web web:443 TLS pair",
      { secret: "a.b", secret_namespacing: false },
      [object("a.b", {}, pair)],
    ],
  ])("whose context %s is %s", (_, expected, context, secrets) =>
    expect(cluster(web, context, secrets)).toBe(expected),
  );
});

/** Clusters with the text of what they present and verify by, of objects by plural. */
function clusters(world: Readonly<Record<string, readonly Followed[]>>): Record<string, string> {
  return Object.fromEntries(
    [...compile(new Map(Object.entries(world)), "default").values()].map(({ cluster: { name, tls } }) => [
      name,
      tls === undefined ? "plaintext" : `${tls.pair?.certificate.text ?? "none"} ${tls.ca?.text ?? "none"}`,
    ]),
  );
}

const namespaced = { secret: "cert", ca_secret: "ca", secret_namespacing: false };

describe("two Mappings towards one service", () => {
  it.each<[string, object, object, string[]]>([
    ["have a cluster for each context", {}, {}, ["web_otls_mesh", "web_otls_second"]],
    ["share the first one's with https://", { service: "https://web" }, {}, ["https___web_otls"]],
    ["share it with http:// too", { service: "http://web" }, {}, ["http___web_otls"]],
    ["share it with a stats_name, too", { service: "http://web" }, { stats_name: "b" }, ["http___web_otls"]],
    [
      "do not share it with another host_rewrite",
      { service: "http://web" },
      { host_rewrite: "x.y" },
      ["http___web_otls", "http___web_otls_hr_x_y"],
    ],
  ])("%s", (_, both, one, expected) => {
    const found = clusters({
      mappings: [
        object("a", { service: "web", tls: "mesh", ...both }),
        object("b", { service: "web", tls: "second", ...both, ...one }),
      ],
      tlscontexts: [object("mesh", sound), object("second", sound)],
      secrets: standard,
    });
    expect(Object.keys(found)).toEqual(expected.map((name) => `cluster_${name}_edge`));
  });
});

describe("a Secret with a dot in its name", () => {
  const dotted = object("ca.edge", {}, { "tls.crt": btoa("foreign"), "tls.key": btoa("key") }, "foreign");
  const world = {
    mappings: [object("web", { service: "web", tls: "mesh" })],
    secrets: [...standard, dotted],
  };
  const context = (name: string) =>
    object(name, { secret: "ca.edge", secret_namespacing: false }, undefined, "foreign");

  it.each<[string, object, string]>([
    ["a TLSContext before", { tlscontexts: [object("mesh", namespaced), context("alpha")] }, "leaf foreign"],
    ["a TLSContext behind", { tlscontexts: [object("mesh", namespaced), context("zeta")] }, "leaf roots"],
    [
      "a Host",
      {
        tlscontexts: [object("mesh", namespaced)],
        hosts: [object("zeta", { tlsSecret: { name: "ca.edge" } }, undefined, "foreign")],
      },
      "leaf foreign",
    ],
  ])("takes another's place once it was read for %s", (_, more, expected) => {
    expect(clusters({ ...world, ...more })).toEqual({ cluster_web_otls_mesh_edge: expected });
  });
});

describe("a Host with a tlsSecret", () => {
  const host = object("shop", { tlsSecret: { name: "cert" } });
  const mappings = [object("web", { service: "web", tls: "shop-context" })];

  it("is a context, and what Envoy presents downstream", () => {
    const world = { mappings, secrets: standard, hosts: [host] };
    expect(clusters(world)).toEqual({ cluster_web_otls_shop_context_edge: "leaf none" });
    expect(presented(world)).toEqual(["leaf"]);
  });

  it("is none with a context of that name and another Secret, which removes it", () => {
    const other = object("other", {}, { "tls.crt": btoa("other"), "tls.key": btoa("key") });
    const tlscontexts = [object("shop-context", { secret: "other" })];
    const world = { mappings, secrets: [...standard, other], hosts: [host], tlscontexts };
    expect(clusters(world)).toEqual({ cluster_web_otls_shop_context_edge: "other none" });
    expect(presented(world)).toEqual([]);
  });

  function presented(world: Readonly<Record<string, readonly Followed[]>>): string[] {
    return pairsOfHosts(new Map(Object.entries(world)), "default").map(({ certificate }) => certificate.text);
  }
});

describe("an incremental reconfigure", () => {
  const next = [object("cert", {}, { ...pair, "tls.crt": btoa("next") }), object("ca", {}, roots)];
  const annotated = (service: string) => {
    const config = { kind: "Mapping", name: "annotated", service, tls: "mesh", prefix: "/annotated/" };
    const annotations = { "getambassador.io/config": JSON.stringify(config) };
    return { metadata: { ...object("web", {}).metadata, annotations } };
  };
  const world = (secrets: readonly Followed[], service: string) =>
    new Map([
      ["mappings", ["web", "shop"].map((name) => object(name, { service: name, tls: "mesh", prefix: name }))],
      ["authservices", [object("auth", { auth_service: "auth", tls: "mesh" })]],
      ["ratelimitservices", [object("limits", { service: "limits", tls: "mesh" })]],
      ["tlscontexts", [object("mesh", sound)]],
      ["services", [annotated(service)]],
      ["secrets", secrets],
    ]);
  const leaves = (changed: readonly string[]) => {
    const before = compile(world(standard, "old"), "default");
    const after = compile(world(next, "new"), "default", before, new Set(changed));
    return Object.fromEntries(
      [...after.values()].map(({ cluster: { statsName, tls } }) => [statsName, tls?.pair?.certificate.text]),
    );
  };

  it("rebuilds the cluster of a Mapping that changed, and always those of AuthService and RateLimitService", () => {
    const rebuilt = { auth: "next", limits: "next" };
    expect(leaves(["mappings/edge/other"])).toEqual({ web: "leaf", shop: "leaf", old: "leaf", ...rebuilt });
    expect(leaves(["mappings/edge/web"])).toEqual({ web: "next", shop: "leaf", old: "leaf", ...rebuilt });
  });
});
