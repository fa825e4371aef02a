import { describe, expect, it } from "vitest";
import { createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { caUnsoundness, leafUnsoundness } from "./secret-soundness.ts";

const now = new Date();
const root = await createRoot();
const leaf = await createLeaf(root, { uris: ["spiffe://example.org/web"] });
const other = await createLeaf(root, { uris: ["spiffe://example.org/web"] });
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("a leaf Secret", () => {
  it.each([
    ["its pair", { "tls.crt": base64(leaf.pem), "tls.key": base64(leaf.keyPem) }, undefined],
    ["Istio's names", { "cert-chain.pem": base64(leaf.pem), "key.pem": base64(leaf.keyPem) }, undefined],
    ["no key", { "tls.crt": base64(leaf.pem) }, "it has none of tls.key, key.pem"],
    ["nothing", {}, "it has none of tls.crt, cert-chain.pem"],
    [
      "another's key",
      { "tls.crt": base64(leaf.pem), "tls.key": base64(other.keyPem) },
      expect.stringContaining("does not match"),
    ],
    ["garbage", { "tls.crt": base64("x"), "tls.key": base64("y") }, expect.any(String)],
  ])("with %s", (_, data, expected) => expect(leafUnsoundness(data, now)?.because).toEqual(expected));

  it("that has expired", () => {
    const data = { "tls.crt": base64(leaf.pem), "tls.key": base64(leaf.keyPem) };
    expect(leafUnsoundness(data, new Date("2999-01-01"))).toEqual({
      because: expect.stringContaining("its leaf expired at") as string,
      isRefused: false,
    });
  });
});

describe("a CA Secret", () => {
  it.each([
    ["roots in tls.crt", { "tls.crt": base64(root.pem) }, undefined],
    ["roots in ca.crt only", { "ca.crt": base64(root.pem) }, expect.stringContaining("no other key")],
    ["garbage", { "tls.crt": base64("x") }, expect.any(String)],
  ])("with %s", (_, data, expected) => expect(caUnsoundness(data)?.because).toEqual(expected));
});
