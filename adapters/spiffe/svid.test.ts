import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { expectedRenewal } from "../../src/mesh/kit/agent-renewal.ts";
import { createCrl } from "../../test/fixtures/crl.ts";
import {
  createIntermediate,
  createKeys,
  createLeaf,
  createRoot,
  type Issued,
} from "../../test/fixtures/pki.ts";
import { spiffeWorkloadAPI, type X509SVID, type X509SVIDResponse } from "./proto/workload.pb.ts";
import { readSvids, type Svid } from "./svid.ts";

const now = new Date("2026-01-01T00:00:00Z");
const id = "spiffe://example.org/edge";
const root = await createRoot();
const intermediate = await createIntermediate(root);
const leaf = await createLeaf(intermediate, { uris: [id] });
const anotherLeaf = await createLeaf(intermediate, { uris: [id] });
const partner = await createRoot();
const stranger = await createRoot();

describe("an SVID", () => {
  it("is read as key, chain and bundle, with the time at which the agent is expected to renew it", async () => {
    const [svid] = read(answer({}));
    expect(svid).toMatchObject({ id, hint: "web" });
    expect(await svid?.credential()).toEqual({
      key: leaf.key,
      chain: [leaf.certificate, intermediate.certificate],
      bundle: [root.certificate],
      renewalTime: expectedRenewal(leaf.certificate),
    });
  });

  it("may have an RSA key", async () => {
    const rsa = await createLeaf(root, { uris: [id], keys: await createKeys("RSA-2048") });
    const [svid] = read(answer({ x509Svid: der(rsa), x509SvidKey: pkcs8(rsa) }));
    expect((await svid?.credential())?.key.equals(rsa.key)).toBe(true);
  });

  it("has the roots of the federated trust domains that are wanted, and no others, in one order", async () => {
    const federated = { "spiffe://partner.example": der(partner), "spiffe://a.example": der(stranger) };
    const reversed = Object.fromEntries(Object.entries(federated).reverse());
    const bundleOf = async (wanted: string[], federatedBundles: X509SVIDResponse["federatedBundles"]) =>
      (await read({ ...answer({}), federatedBundles }, wanted)[0]?.credential())?.bundle;
    expect(await bundleOf([], federated)).toEqual([root.certificate]);
    expect(await bundleOf(["partner.example"], federated)).toEqual([root.certificate, partner.certificate]);
    const all = [root.certificate, stranger.certificate, partner.certificate];
    expect(await bundleOf(["*"], federated)).toEqual(all);
    expect(await bundleOf(["*"], reversed)).toEqual(all);
    expect(await bundleOf(["partner.example"], { "partner.example": der(partner) })).toHaveLength(2);
  });

  it("is read beside a federated bundle without a value, as an encoder may leave it out", async () => {
    const bytes = readFileSync(new URL("../../test/fuzz/corpus/spiffe-map-without-value", import.meta.url));
    const { federatedBundles } = spiffeWorkloadAPI.fetchX509SVID.responseDeserialize(bytes);
    expect(Object.keys(federatedBundles)).toEqual(["spiffe://other.org"]);
    const [svid] = read({ ...answer({}), federatedBundles }, ["*"]);
    expect((await svid?.credential())?.bundle).toEqual([root.certificate]);
  });

  it("that the next answer holds unchanged is taken over, and one that differs in anything is not", async () => {
    const previous = read(answer({}));
    await previous[0]?.credential();
    expect(read(answer({}), [], previous)[0]).toBe(previous[0]);
    for (const changed of [
      answer({ bundle: der(root, stranger) }),
      answer({ x509Svid: der(leaf) }),
      answer({ hint: "" }),
      answer({ x509Svid: der(anotherLeaf), x509SvidKey: pkcs8(anotherLeaf) }),
    ]) {
      expect(read(changed, [], previous)[0]).not.toBe(previous[0]);
    }
    const withPartner = { ...answer({}), federatedBundles: { "spiffe://partner.example": der(partner) } };
    expect(read(withPartner, [], previous)[0]).toBe(previous[0]);
    expect(read(withPartner, ["*"], previous)[0]).not.toBe(previous[0]);
  });

  it("has the roots that can be read, and tells which were left out", async () => {
    const bundle = Buffer.concat([Buffer.from("3003020101", "hex"), der(root)]);
    const credential = await read(answer({ bundle }))[0]?.credential();
    expect(credential?.bundle).toEqual([root.certificate]);
    expect(credential?.leftOut).toMatchObject([{ reason: "UnreadableByEnvoy" }]);
  });

  it("has the revocation lists of its answer, and is another one once they change", async () => {
    const list = createCrl(root);
    const previous = read({ ...answer({}), crl: [list, Buffer.from("garbage")] });
    const { lists, problems } = (await previous[0]?.credential())?.crls ?? expect.fail();
    expect(lists.map((one) => one.isOf(root.certificate))).toEqual([true]);
    expect(problems).toEqual([expect.stringContaining("not PEM")]);
    expect(read({ ...answer({}), crl: [createCrl(root)] }, [], previous)[0]).not.toBe(previous[0]);
  });

  it("that was never read gives way to the next answer's, and with it the memory of a whole answer", async () => {
    const previous = read(answer({}));
    const next = read(answer({}), [], previous);
    expect(next[0]).not.toBe(previous[0]);
    expect(next[0]?.isRead).toBe(false);
    await next[0]?.credential();
    expect(next[0]?.isRead).toBe(true);
    expect(read(answer({}), [], next)[0]).toBe(next[0]);
  });

  it("shows nothing of its key when it is printed", () => {
    const [svid] = read(answer({}));
    const secret = pkcs8(leaf).toString("hex");
    expect(inspect(svid, { depth: Infinity, showHidden: true })).not.toContain(secret.slice(0, 32));
    expect(JSON.stringify(svid)).toBe(JSON.stringify({ id, hint: "web", digest: svid?.digest }));
  });
});

describe("an SVID is refused, and its neighbour is not,", () => {
  it.each<[string, Partial<X509SVID>, string]>([
    ["when its chain is empty", { x509Svid: Buffer.alloc(0) }, `the SVID ${id}: no certificate`],
    ["when its chain is garbage", { x509Svid: Buffer.from("garbage") }, `the SVID ${id}: chain: `],
    [
      "when its chain is cut",
      { x509Svid: der(leaf).subarray(0, 200) },
      `the SVID ${id}: chain: DER that is cut or is no certificate`,
    ],
    ["when its key is garbage", { x509SvidKey: Buffer.from([0x30, 1, 2]) }, `the SVID ${id}: private key: `],
    [
      "when its key is missing",
      { x509SvidKey: Buffer.alloc(0) },
      `the SVID ${id}: private key: no private key`,
    ],
    [
      "when its key is another one",
      { x509SvidKey: pkcs8(anotherLeaf) },
      `the private key of ${id} belongs to another certificate`,
    ],
    [
      "when its bundle is empty",
      { bundle: Buffer.alloc(0) },
      `the SVID ${id} comes with an empty trust bundle`,
    ],
    ["when its bundle is garbage", { bundle: Buffer.from("garbage") }, `the SVID ${id}: trust bundle: `],
    [
      "when it is of another trust domain than it is called",
      { spiffeId: "spiffe://other.example/edge" },
      `the SVID named spiffe://other.example/edge is for "${id}"`,
    ],
    [
      "when its name could pass for something else",
      { spiffeId: "spiffe://example.org/\u202eegde" },
      `the SVID named spiffe://example.org/?egde is for "${id}"`,
    ],
    [
      "when its bundle is far too large",
      { bundle: Buffer.concat(Array.from({ length: 3000 }, () => der(root))) },
      `the SVID ${id}: trust bundle: `,
    ],
  ])("%s", async (_, defect, problem) => {
    const good = answer({}).svids;
    const [broken, neighbour] = read({
      svids: [...answer(defect).svids, ...good],
      crl: [],
      federatedBundles: {},
    });
    const error = await broken?.credential().catch((error: unknown) => error);
    expect(error).toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      problem: expect.stringContaining(problem) as string,
    });
    expect(await broken?.credential().catch((error: unknown) => error)).toBe(error);
    expect((await neighbour?.credential())?.key).toEqual(leaf.key);
  });
});

describe("an answer without any identity", () => {
  it("is refused", () => {
    expect(() => read({ svids: [], crl: [], federatedBundles: {} })).toThrow(
      "ATTACHE_MESH_MALFORMED: the agent's answer holds no identity",
    );
  });
});

function read(sent: X509SVIDResponse, federatedTrustDomains: string[] = [], previous: readonly Svid[] = []) {
  return readSvids(sent, { federatedTrustDomains, previous, now });
}

function answer(change: Partial<X509SVID>): X509SVIDResponse {
  const svid: X509SVID = {
    spiffeId: id,
    hint: "web",
    x509Svid: der(leaf, intermediate),
    x509SvidKey: pkcs8(leaf),
    bundle: der(root),
  };
  return { svids: [{ ...svid, ...change }], crl: [], federatedBundles: {} };
}

function der(...issued: Issued[]): Buffer {
  return Buffer.concat(issued.map((one) => one.der));
}

function pkcs8({ key }: Issued): Buffer {
  return key.export({ type: "pkcs8", format: "der" });
}
