import { describe, expect, it } from "vitest";
import { compile } from "./compile.ts";
import type { Followed } from "./follow.ts";

function object(name: string, spec: object, data?: Record<string, string>, namespace = "edge"): Followed {
  const metadata = { name, namespace, uid: `${namespace}/${name}`, resourceVersion: "1" };
  return { metadata, spec, ...(data && { data }) };
}

const pair = { "tls.crt": btoa("leaf"), "tls.key": btoa("key") };
const roots = { "tls.crt": btoa("roots") };
const sound = { secret: "cert", ca_secret: "ca" };

/** The cluster of a Mapping, told in one line. */
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

describe("two Mappings towards one service", () => {
  function names(service: string): string[] {
    const world = new Map([
      ["mappings", [object("a", { service, tls: "mesh" }), object("b", { service, tls: "second" })]],
      ["tlscontexts", [object("mesh", sound), object("second", sound)]],
      ["secrets", standard],
    ]);
    return [...compile(world, "default").values()].map(({ cluster: { name } }) => name);
  }

  it("have a cluster for each context, and with https:// share the first one's", () => {
    expect(names("web")).toEqual(["cluster_web_otls_mesh_edge", "cluster_web_otls_second_edge"]);
    expect(new Set(names("https://web"))).toEqual(new Set(["cluster_https___web_otls_edge"]));
  });
});
