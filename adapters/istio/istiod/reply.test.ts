import { describe, expect, it } from "vitest";
import { createIntermediate, createLeaf, createRoot } from "../../../test/fixtures/pki.ts";
import { createCsr } from "../../../src/credentials/csr.ts";
import { generateKey } from "../../../src/credentials/keys.ts";
import { parseSpiffeIdPattern } from "../../../src/credentials/spiffe-id.ts";
import { MeshError } from "../../../src/mesh/errors.ts";
import { assertIs, leadsTo, readReply } from "./reply.ts";

const now = new Date("2026-01-01T00:00:00Z");
const uri = "spiffe://cluster.local/ns/shop/sa/edge";
const root = await createRoot();
const other = await createRoot();
const intermediate = await createIntermediate(root);
const leaf = await createLeaf(intermediate, { uris: [uri] });

describe("a reply of istiod's CA", () => {
  it("is the leaf, each intermediate, and every root in its last element", async () => {
    const { chain, roots } = await readReply([leaf.pem, intermediate.pem, root.pem + other.pem]);
    expect(chain).toEqual([leaf.certificate, intermediate.certificate]);
    expect(roots).toEqual([root.certificate, other.certificate]);
  });

  it("may have its chain in one element, as older ones do", async () => {
    const { chain } = await readReply([leaf.pem + intermediate.pem, root.pem]);
    expect(chain).toEqual([leaf.certificate, intermediate.certificate]);
  });

  it.each([
    ["nothing", [], "istiod's reply has no certificate, or no root"],
    ["no root", [leaf.pem], "istiod's reply has no certificate, or no root"],
    ["garbage", ["<html>", root.pem], "istiod's reply: "],
  ])("is refused when it is %s", async (_, certChain, problem) => {
    await expect(readReply(certChain)).rejects.toThrow(problem);
  });

  it("leads to the roots that have signed it, and to no others", async () => {
    const reply = await readReply([leaf.pem, intermediate.pem, root.pem]);
    expect(leadsTo(reply, [other.certificate, root.certificate], now)).toBe(true);
    expect(leadsTo(reply, [other.certificate], now)).toBe(false);
  });
});

describe("a leaf that istiod signed", async () => {
  const reply = await readReply([leaf.pem, intermediate.pem, root.pem]);

  it("is taken for the identity that was asked for", () => {
    expect(() => assertIs(reply, uri)).not.toThrow();
  });

  it("of a trust domain in another case is the identity", async () => {
    const upper = await createLeaf(root, { uris: [uri.replace("cluster.local", "Cluster.Local")] });
    const reply = await readReply([upper.pem, root.pem]);
    expect(() => assertIs(reply, uri)).not.toThrow();
  });

  it.each(["Prod.Example", "prod.example", "prod_1.example"])(
    "names as a remedy what then is accepted at every further step: %s",
    async (trustDomain) => {
      const given = `spiffe://${trustDomain}/ns/shop/sa/edge`;
      const reply = await readReply([(await createLeaf(root, { uris: [given] })).pem, root.pem]);
      let remedy = "";
      try {
        assertIs(reply, uri);
      } catch (error) {
        remedy = MeshError.is(error) ? error.remedy : "";
      }
      const named = /`trustDomain: (.*?)`/.exec(remedy)?.[1] ?? "";
      const asked = uri.replace("cluster.local", named);
      expect(() => assertIs(reply, asked)).not.toThrow();
      await expect(createCsr(await generateKey(), asked)).resolves.toContain("CERTIFICATE REQUEST");
      expect(parseSpiffeIdPattern(asked).test(given)).toBe(true);
    },
  );

  it("of another trust domain is refused, and the remedy names the setting", () => {
    expect(problemOf("spiffe://mesh.example/ns/shop/sa/edge")).toMatchObject({
      code: "ATTACHE_MESH_IDENTITY_REFUSED",
      problem: `istiod gave ${uri} in place of spiffe://mesh.example/ns/shop/sa/edge`,
      remedy: "Set `trustDomain: cluster.local` in the settings of the mesh, if that is its trust domain.",
    });
  });

  it.each(["spiffe://cluster.local/ns/shop/sa/other", "spiffe://cluster.local/ns/other/sa/edge"])(
    "for another than %s is refused",
    (asked) => {
      expect(problemOf(asked)).toMatchObject({
        remedy: "Check that `address` is that of the mesh's own CA.",
      });
    },
  );

  it("for several is refused", async () => {
    const several = await createLeaf(root, { uris: [uri, "spiffe://cluster.local/ns/shop/sa/admin"] });
    const { chain } = await readReply([several.pem, root.pem]);
    expect(() => assertIs({ chain, roots: [] }, uri)).toThrow(
      "/sa/edge, spiffe://cluster.local/ns/shop/sa/admin",
    );
  });

  function problemOf(asked: string): unknown {
    try {
      assertIs(reply, asked);
    } catch (error) {
      return error;
    }
    return undefined;
  }
});
