import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { namedBy, pathOf, resources } from "./resources.ts";

describe("the path of an object", () => {
  it.each([
    [pathOf(resources.secrets, { namespace: "edge", name: "leaf" }), "/api/v1/namespaces/edge/secrets/leaf"],
    [pathOf(resources.mappings), "/apis/getambassador.io/v3alpha1/mappings"],
    [pathOf(resources.namespaces, { name: "edge" }), "/api/v1/namespaces/edge"],
    [
      pathOf(resources.meshCertificates, { namespace: "edge", name: "web", subresource: "status" }),
      "/apis/attache.dev/v1alpha1/namespaces/edge/meshcertificates/web/status",
    ],
  ])("is as the API has it: %s", (path, expected) => {
    expect(path).toBe(expected);
  });

  it("never leads elsewhere, whatever the name is", () => {
    const name = "../../kube-system/secrets?x=y#z";
    expect(pathOf(resources.secrets, { namespace: "edge", name })).not.toMatch(/\.\.\/|[?#]/);
  });

  it("tells what it names", () => {
    const part = fc.option(fc.stringMatching(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/), { nil: undefined });
    const kinds = fc.constantFrom(...Object.values(resources).filter((one) => one.plural !== "namespaces"));
    fc.assert(
      fc.property(kinds, part, part, (resource, namespace, name) => {
        expect(namedBy(pathOf(resource, { namespace, name }))).toEqual({
          group: resource.group,
          resource: resource.plural,
          namespace,
          name,
        });
      }),
    );
    expect(namedBy("/api/v1/namespaces/edge")).toMatchObject({ resource: "namespaces", name: "edge" });
    expect(
      namedBy(pathOf(resources.serviceAccounts, { namespace: "edge", name: "web", subresource: "token" })),
    ).toMatchObject({ resource: "serviceaccounts/token" });
    expect(namedBy("/version")).toBeUndefined();
  });
});
