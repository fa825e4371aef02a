import { describe, expect, it } from "vitest";
import { clusterNamesOf } from "./clusters.ts";

const names = (service: string, { statsName, namespace = "shop", hasResolver = false } = {} as Options) =>
  clusterNamesOf(
    { service, hasResolver, ...(statsName !== undefined && { statsName }) },
    namespace,
    "emissary",
  );

interface Options {
  readonly statsName?: string;
  readonly namespace?: string;
  readonly hasResolver?: boolean;
}

describe("a cluster is called in Envoy's metrics", () => {
  it.each([
    ["127.0.0.1:21000", "127_0_0_1_21000"],
    ["https://Storefront.shop:8443", "storefront_shop_8443"],
    ["storefront", "storefront_shop"],
    ["http://storefront:80/path", "storefront_shop_80"],
    ["localhost:9000", "localhost_9000"],
    ["[::1]:9000", "___1__9000"],
  ])("after the service %s", (service, name) => {
    expect(names(service)[0]).toBe(name);
  });

  it("after the service alone, in Emissary's own namespace", () => {
    expect(names("storefront:80", { namespace: "emissary" })).toEqual(["storefront_80"]);
  });

  it("after the service alone too, where a Module or a resolver has it so", () => {
    expect(names("storefront")).toEqual(["storefront_shop", "storefront"]);
    expect(names("web-sidecar-proxy", { hasResolver: true })[0]).toBe("web_sidecar_proxy");
  });

  it("after its stats_name, as Envoy writes it", () => {
    expect(names("storefront", { statsName: "the-store:2" })).toEqual(["the-store_2"]);
    expect(names("storefront", { statsName: "a.b" })).toEqual(["a"]);
  });

  it.each(["", "://", "[", "a:b:c", ":80"])("somehow, whatever the service is: %j", (service) => {
    expect(names(service).every((name) => /^\w*$/.test(name))).toBe(true);
  });
});
