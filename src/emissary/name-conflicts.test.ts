import { describe, expect, it } from "vitest";
import { type ContextIndex, nameConflicts } from "./name-conflicts.ts";
import { hostAsUser } from "./secret-users.ts";
import { type SecretUser, type TlsContext, tlsContextOf } from "./tls-context.ts";

function context(namespace: string, name: string, spec: object): TlsContext {
  return tlsContextOf({ metadata: { namespace, name }, spec });
}

function annotated(namespace: string, name: string, spec: object): TlsContext {
  const holder = { kind: "Service", namespace, name: "holder" };
  return tlsContextOf({ metadata: { namespace, name }, spec }, holder);
}

function host(namespace: string, name: string, spec: object): SecretUser {
  return hostAsUser({ metadata: { namespace, name }, spec });
}

function indexOf(users: readonly SecretUser[]): ContextIndex {
  const isContext = (one: SecretUser): one is TlsContext => one.kind === "TLSContext";
  return {
    named: (name) => users.filter(isContext).filter((one) => one.name === name),
    naming: ({ namespace, name }) =>
      users.filter(({ secrets }) => secrets.some((one) => one.namespace === namespace && one.name === name)),
  };
}

const own = context("edge", "storefront", { secret: "cert", ca_secret: "ca", secret_namespacing: false });
const published = {
  namespace: "edge",
  context: { name: "storefront", ambassadorIds: ["default"] },
  secrets: ["cert", "ca"],
};

function found(...others: readonly SecretUser[]): string[] {
  const [forwards, backwards] = [
    [own, ...others],
    [...others.toReversed(), own],
  ].map((all) => nameConflicts(published, indexOf(all)));
  expect(backwards).toEqual(forwards);
  for (const { message } of forwards ?? []) expect(message).toMatch(/(evil|edge)\/\w+.*edge\/\w+/);
  return (forwards ?? []).map(({ reason }) => reason);
}

describe("what an identity publishes", () => {
  it.each<[string, SecretUser, string[]]>([
    ["a context of its name", context("evil", "storefront", {}), ["ContextNameTaken"]],
    ["one for another Emissary", context("evil", "storefront", { ambassador_id: ["other"] }), []],
    [
      "one for several",
      context("evil", "storefront", { ambassador_id: ["other", "default"] }),
      ["ContextNameTaken"],
    ],
    ["one of another name", context("evil", "x", { secret: "cert", ca_secret: "ca" }), []],
    [
      "its leaf Secret",
      context("evil", "x", { secret: "cert.edge", secret_namespacing: true }),
      ["SecretNamedFromOutside"],
    ],
    ["its leaf Secret by default", context("evil", "x", { secret: "cert.edge" }), ["SecretNamedFromOutside"]],
    [
      "its CA Secret",
      context("evil", "x", { secret: "y", ca_secret: "ca.edge" }),
      ["SecretNamedFromOutside"],
    ],
    [
      "its Secret as revocation list",
      context("evil", "x", { crl_secret: "ca.edge" }),
      ["SecretNamedFromOutside"],
    ],
    [
      "the full name of its Secret",
      context("evil", "x", { secret: "cert.edge", secret_namespacing: false }),
      ["SecretNameTaken"],
    ],
    [
      "the full name for another Emissary",
      context("evil", "x", { secret: "cert.edge", secret_namespacing: false, ambassador_id: "other" }),
      [],
    ],
    ["a context of its name in an annotation", annotated("evil", "storefront", {}), ["ContextNameTaken"]],
    ["one in its own namespace", annotated("edge", "storefront", {}), ["ContextNameTaken"]],
    [
      "the full name of its Secret in an annotation",
      annotated("evil", "x", { ca_secret: "ca.edge", secret_namespacing: false }),
      ["SecretNameTaken"],
    ],
    [
      "its Secret in an annotation",
      annotated("evil", "x", { secret: "cert.edge" }),
      ["SecretNamedFromOutside"],
    ],
    ["a Host's Secret", host("evil", "x", { tlsSecret: { name: "cert.edge" } }), ["SecretNameTaken"]],
    [
      "a Host's Secret for another Emissary",
      host("evil", "x", { tlsSecret: { name: "cert.edge" }, ambassador_id: ["other"] }),
      [],
    ],
    ["a Host's roots", host("evil", "x", { tls: { ca_secret: "ca.edge" } }), ["SecretNameTaken"]],
    [
      "a Host's account key",
      host("evil", "x", { acmeProvider: { privateKeySecret: { name: "cert.edge" } } }),
      ["SecretNameTaken"],
    ],
    [
      "its Secret in a Host elsewhere",
      host("evil", "x", { tlsSecret: { name: "cert", namespace: "edge" } }),
      ["SecretNamedFromOutside"],
    ],
    ["its Secret in a Host of its namespace", host("edge", "x", { tlsSecret: { name: "cert" } }), []],
    ["its Secret from its namespace", context("edge", "x", { secret: "cert", ca_secret: "ca" }), []],
  ])("conflicts with %s, in any order", (_what, other, reasons) => {
    expect(found(other)).toEqual(reasons);
  });

  it("has its conflicts in a stable order", () => {
    const taken = context("evil", "storefront", { secret: "cert.edge" });
    const imitating = context("evil", "a", { secret: "ca.edge", secret_namespacing: false });
    expect(found(imitating, taken)).toEqual([
      "ContextNameTaken",
      "SecretNameTaken",
      "SecretNamedFromOutside",
    ]);
  });
});
