import { describe, expect, it } from "vitest";
import { Clusters } from "./clusters.ts";
import { consumerOf } from "./consumer.ts";

const mapping = (name: string, spec: object, namespace = "shop") =>
  consumerOf("Mapping", { metadata: { namespace, name, uid: name }, spec });

function clusters(...consumers: ReturnType<typeof mapping>[]) {
  const emissary = { ambassadorIds: ["default", "edge"], namespace: "emissary" };
  return new Clusters(
    consumers.filter((one) => one !== undefined),
    emissary,
  );
}

const storefront = [{ name: "storefront", ambassadorIds: ["default"] }];

describe("the clusters of an identity", () => {
  it("are those of all who name its context, one for each service", () => {
    const found = clusters(
      mapping("a", { service: "web.shop", tls: "storefront" }),
      mapping("b", { service: "web.shop", tls: "storefront" }),
      mapping("c", { service: "cart.shop:80", tls: "storefront" }),
      mapping("d", { service: "other", tls: "another" }),
      mapping("e", { service: "plain" }),
    );
    expect(found.of(storefront).map(({ name, consumers }) => [name, consumers.length])).toEqual([
      ["web_shop", 2],
      ["cart_shop_80", 1],
    ]);
  });

  it("are those of what its Emissary sees", () => {
    const found = clusters(
      mapping("a", { service: "web", tls: "storefront", ambassador_id: ["elsewhere"] }),
      mapping("b", { service: "cart", tls: "storefront", ambassador_id: "edge" }),
    );
    expect(found.of(storefront)).toEqual([]);
    expect(found.of([{ name: "storefront", ambassadorIds: ["edge"] }])).toHaveLength(1);
  });

  it("are of the same service in two namespaces two", () => {
    const spec = { service: "web", tls: "storefront" };
    const found = clusters(mapping("a", spec), mapping("a", spec, "emissary")).of(storefront);
    expect(found.map(({ name }) => name)).toEqual(["web_shop", "web"]);
  });

  it("have candidates where another context is used towards the same service, unless a stats_name tells them apart", () => {
    const own = mapping("a", { service: "web", tls: "storefront" });
    const other = { service: "web", tls: "another" };
    expect(clusters(own, mapping("b", other)).of(storefront)).toMatchObject([{ candidates: ["another"] }]);
    expect(clusters(own, mapping("b", { ...other, stats_name: "b" })).of(storefront)).toMatchObject([
      { candidates: [] },
    ]);
  });

  it("have no candidates in another context of the same identity", () => {
    const found = clusters(
      mapping("a", { service: "web", tls: "storefront" }),
      mapping("b", { service: "web", tls: "former" }),
    );
    expect(found.of([...storefront, { name: "former", ambassadorIds: ["default"] }])).toMatchObject([
      { candidates: [], consumers: [{ name: "a" }] },
      { candidates: [], consumers: [{ name: "b" }] },
    ]);
  });

  it("may have the stats_name of any of those towards the same service", () => {
    const found = clusters(
      mapping("a", { service: "web", tls: "storefront", stats_name: "a" }),
      mapping("b", { service: "web", tls: "storefront", stats_name: "b" }),
    );
    expect(found.of(storefront)).toMatchObject([{ name: "a", names: [["a"], ["b"]] }]);
  });

  it("are one with those of another context where the service says https://, whatever their stats_name", () => {
    const spec = { service: "https://web", stats_name: "a" };
    const own = mapping("a", { ...spec, tls: "storefront" });
    const other = { ...spec, tls: "another", stats_name: "b" };
    expect(clusters(own, mapping("b", other)).of(storefront)).toMatchObject([
      { candidates: ["another"], isShared: true },
    ]);
    expect(clusters(own, mapping("b", { ...other, service: "web" })).of(storefront)).toMatchObject([
      { candidates: [], isShared: false },
    ]);
  });
});
