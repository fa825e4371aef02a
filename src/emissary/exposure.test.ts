import { describe, expect, it, vi } from "vitest";
import { type ConsumerKind, consumerOf, usersOf } from "./consumer.ts";
import { exposuresOf, observedExposure } from "./exposure.ts";
import { type TlsContext, tlsContextOf } from "./tls-context.ts";

function consumer(spec: object, kind: ConsumerKind = "Mapping", name = "web") {
  const found = consumerOf(kind, { metadata: { namespace: "edge", name, uid: "u" }, spec });
  if (found === undefined) throw new Error("names no context");
  return found;
}

const sound: TlsContext = tlsContextOf({
  metadata: { namespace: "emissary", name: "storefront" },
  spec: { secret: "storefront-mesh-cert", ca_secret: "storefront-mesh-ca", secret_namespacing: false },
});

function severity(spec: object, contexts: readonly TlsContext[] = [sound], because?: string) {
  const facts = {
    unsoundness: () => because,
    publishers: () => new Map([["soon", "edge/soon"]]),
  };
  const [exposure] = exposuresOf([consumer(spec)], contexts, facts);
  return exposure && `${exposure.severity} ${exposure.reason}`;
}

describe("what names no context that can be", () => {
  it("is shown without control sequences of terminals", () => {
    const facts = { unsoundness: () => undefined, publishers: () => new Map() };
    const named = (spec: object) => exposuresOf([consumer(spec)], [sound], facts)[0]?.message;
    expect(named({ tls: "\u001b]0;owned\u0007\nall is well" })).toContain(
      'no TLSContext " ]0;owned all is well"',
    );
    const id = named({ tls: "storefront", ambassador_id: ["\u001b[2J" + "x".repeat(10_000)] }) ?? "";
    expect(id).not.toContain("\u001b");
    expect(id.length).toBeLessThan(600);
  });
});

describe("input that is written to keep attaché busy", () => {
  it("is compared with little: of the ambassador_ids of an object no more than 64 count, each once", () => {
    const ids = Array.from({ length: 100_000 }, (_, index) => `id-${index % 50_000}`);
    expect(consumer({ tls: "storefront", ambassador_id: ids }).ambassadorIds).toEqual(ids.slice(0, 64));
  });

  it("is looked for among the identities once, however many consumers name a context that is not there", () => {
    const publishers = vi.fn(() => new Map<string, string>());
    const consumers = Array.from({ length: 1_000 }, (_, index) => consumer({ tls: `no-${index}` }));
    expect(exposuresOf(consumers, [sound], { unsoundness: () => undefined, publishers })).toHaveLength(1_000);
    expect(publishers).toHaveBeenCalledTimes(1);
  });
});

describe("a consumer", () => {
  it.each<[ConsumerKind, object]>([
    ["Mapping", { tls: "storefront", service: "web" }],
    ["TCPMapping", { tls: "storefront", service: "web:443" }],
    ["AuthService", { tls: "storefront", auth_service: "auth" }],
    ["RateLimitService", { tls: "storefront", service: "rate" }],
    ["Host", { tlsContext: { name: "storefront" } }],
  ])("%s names its context", (kind, spec) => {
    expect(consumer(spec, kind)).toMatchObject({ kind, context: "storefront", ambassadorIds: ["default"] });
  });

  it.each([{}, { tls: true }, { tls: "" }, { tls: 7 }, undefined])("%j names none", (spec) => {
    expect(consumerOf("Mapping", { metadata: { name: "web" }, spec })).toBeUndefined();
  });

  it.each([
    [undefined, ["default"]],
    [[], ["default"]],
    ["edge", ["edge"]],
    [
      ["a", "b"],
      ["a", "b"],
    ],
    [[1, "a"], ["a"]],
  ])("of the ambassador_id %j is seen by %j", (id, ids) => {
    expect(consumer({ tls: "x", ambassador_id: id }).ambassadorIds).toEqual(ids);
  });

  it("keeps no more of a name than tells that nothing is called so", () => {
    expect(consumer({ tls: "x".repeat(1_000_000) }).context).toHaveLength(254);
  });
});

describe("who uses a context", () => {
  it("is each object that names it in an Emissary that sees both, sorted", () => {
    const consumers = [
      consumer({ tls: "storefront" }, "Mapping", "b"),
      consumer({ tls: "storefront", ambassador_id: ["other", "default"] }, "Mapping", "a"),
      consumer({ tls: "storefront", ambassador_id: ["other"] }, "Mapping", "c"),
      consumer({ tls: "billing" }, "Mapping", "d"),
      consumer({ tlsContext: { name: "storefront" } }, "Host", "e"),
    ];
    expect(usersOf(sound, consumers).map(({ name }) => name)).toEqual(["a", "b", "e"]);
  });
});

describe("a consumer is exposed", () => {
  it.each([
    ["in plaintext without its context", { tls: "nope", service: "web" }, "plaintext ContextMissing"],
    [
      "in plaintext, as long as the context is not published yet",
      { tls: "soon", service: "web" },
      "plaintext ContextNotPublished",
    ],
    ["anonymously, where it says https", { tls: "nope", service: "https://web" }, "anonymous ContextMissing"],
    [
      "in plaintext, where the context is another Emissary's",
      { tls: "storefront", ambassador_id: ["edge"] },
      "plaintext ContextOfOtherAmbassadorId",
    ],
    [
      "in one of two Emissaries",
      { tls: "storefront", ambassador_id: ["default", "edge"] },
      "plaintext ContextOfOtherAmbassadorId",
    ],
  ])("%s", (_, spec, expected) => expect(severity(spec)).toBe(expected));

  it("in plaintext, where Emissary drops the context", () => {
    expect(severity({ tls: "storefront" }, [sound], "the leaf Secret is gone")).toBe(
      "plaintext ContextUnsound",
    );
  });

  it("to any server, where the context verifies none", () => {
    expect(severity({ tls: "storefront" }, [{ ...sound, caSecret: undefined }])).toBe(
      "unverified UpstreamNotVerified",
    );
  });

  it("not, where its context is sound", () => expect(severity({ tls: "storefront" })).toBeUndefined());

  it("not, where it is a Host: its context is for the other side", () => {
    const facts = { unsoundness: () => undefined, publishers: () => new Map() };
    expect(exposuresOf([consumer({ tlsContext: { name: "nope" } }, "Host")], [], facts)).toEqual([]);
  });
});

describe("what Envoy shows of a consumer", () => {
  const web = consumer({ tls: "storefront", service: "https://web" });
  const facts = { unsoundness: () => undefined, publishers: () => new Map() };

  it("outweighs what the objects predict, in the same terms", () => {
    const observed = [observedExposure(web)];
    expect(exposuresOf([web], [sound], facts)).toEqual([]);
    expect(exposuresOf([web], [sound], facts, observed)).toEqual(observed);
    expect(observed).toMatchObject([{ severity: "anonymous", reason: "Exposed" }]);
  });

  it("is explained by what they predict, as one verdict", () => {
    const [predicted, ...others] = exposuresOf([web], [], facts);
    const [found, ...more] = exposuresOf([web], [], facts, [observedExposure(web)]);
    expect([others, more]).toEqual([[], []]);
    expect(found).toMatchObject({ severity: "anonymous", reason: "Exposed" });
    expect(found?.message).toContain(predicted?.message);
  });

  it("counts no more once the consumer names another context, or is gone", () => {
    const observed = [observedExposure(web)];
    const renamed = consumer({ tls: "other", service: "https://web" });
    expect(exposuresOf([renamed], [{ ...sound, name: "other" }], facts, observed)).toEqual([]);
    expect(exposuresOf([], [sound], facts, observed)).toEqual([]);
  });
});

describe("a TLSContext names its Secrets", () => {
  it.each([
    ["a", undefined, { namespace: "emissary", name: "a" }],
    ["a.b", undefined, { namespace: "b", name: "a" }],
    ["a.b.c", true, { namespace: "c", name: "a.b" }],
    ["a.b", false, { namespace: "emissary", name: "a.b" }],
    ["", undefined, undefined],
    [7, undefined, undefined],
  ])("%j, namespacing %j", (secret, namespacing, expected) => {
    const spec = { secret, secret_namespacing: namespacing };
    expect(tlsContextOf({ metadata: { namespace: "emissary", name: "x" }, spec }).secret).toEqual(expected);
  });
});
