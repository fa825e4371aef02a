import { describe, expect, it } from "vitest";
import {
  createIntermediate,
  createLeaf,
  createRoot,
  crossSign,
  type Issued,
} from "../../test/fixtures/pki.ts";
import { assembleCredential, parseCredential } from "./assemble.ts";
import { CredentialError } from "./errors.ts";

const now = new Date("2030-06-01T12:00:00Z");
const root = await createRoot();
const upper = await createIntermediate(root);
const lower = await createIntermediate(upper);
const leaf = await createLeaf(lower);

describe("a credential put together", () => {
  it("has its chain leaf first, in the order of issuers, each once and without the root", () => {
    const { chain } = assemble({ certificates: [root, upper, leaf, lower, upper, leaf, root] });
    expect(names(chain)).toEqual(names([leaf, lower, upper]));
  });

  it("parses its key once while it is looked at, and never mixes it with another one", async () => {
    const other = await createLeaf(lower);
    const [one, two] = [assemble({ certificates: [leaf] }), assemble({ key: other, certificates: [other] })];
    expect(one.key).toBe(one.key);
    const { key } = two;
    expect(two.key).toBe(key);
    expect([one.key.equals(leaf.key), two.key.equals(other.key)]).toEqual([true, true]);
    expect(two.key).not.toBe(key);
  });

  it("has as leaf the certificate of the key, wherever it stands", async () => {
    const others = [await createLeaf(lower), await createLeaf(lower)];
    const { chain } = assemble({ certificates: [...others, lower, leaf, upper] });
    expect(names(chain)).toEqual(names([leaf, lower, upper]));
  });

  it("has as leaf the first that is no CA when none is of the key, for the policy to reject", async () => {
    const { chain } = assemble({ key: await createLeaf(lower), certificates: [upper, leaf, lower] });
    expect(names(chain)).toEqual(names([leaf, lower, upper]));
  });

  it("has as leaf a CA when there is nothing else, for the policy to reject", () => {
    expect(names(assemble({ certificates: [lower] }).chain)).toEqual(names([lower]));
  });

  it("keeps an incomplete chain, for the policy to reject", () => {
    expect(names(assemble({ certificates: [upper, leaf] }).chain)).toEqual(names([leaf]));
  });

  it("puts Consul's cross-signed root, which comes first, behind the signing intermediate, which comes last", async () => {
    const newRoot = await createRoot();
    const cross = await crossSign(newRoot, root);
    const signing = await createIntermediate(newRoot);
    const own = await createLeaf(signing);
    const { chain } = assemble({ key: own, certificates: [own, cross, signing] });
    expect(names(chain)).toEqual(names([own, signing, cross]));
  });

  it("holds each of several cross-signed roots", async () => {
    const newRoot = await createRoot();
    const crosses = [await crossSign(newRoot, root), await crossSign(newRoot, await createRoot())];
    const own = await createLeaf(newRoot);
    const { chain } = assemble({ key: own, certificates: [...crosses, newRoot, own] });
    expect(names(chain)).toEqual(names([own, ...crosses]));
  });

  it("leaves an expired intermediate out, for one that is current", async () => {
    const expired = await createIntermediate(upper, { ...again(lower), notAfter: now });
    const { chain } = assemble({ certificates: [leaf, expired, lower, upper] });
    expect(names(chain)).toEqual(names([leaf, lower, upper]));
  });

  it("leaves out a CA that has the name of the issuer and not its key", async () => {
    const terms = { subject: "CN=same", hasKeyIds: false };
    const [issuer, impostor] = [
      await createIntermediate(upper, terms),
      await createIntermediate(upper, terms),
    ];
    const own = await createLeaf(issuer, { hasKeyIds: false });
    const { chain } = assemble({ key: own, certificates: [own, impostor, issuer, upper] });
    expect(names(chain)).toEqual(names([own, issuer, upper]));
  });

  it("does not go round in circles where two CAs signed each other", async () => {
    const [one, other] = [await createRoot(), await createRoot()];
    const [oneByOther, otherByOne] = [await crossSign(one, other), await crossSign(other, one)];
    const own = await createLeaf(one);
    const { chain } = assemble({ key: own, certificates: [own, otherByOne, oneByOther] });
    expect(names(chain)).toEqual(names([own, oneByOther, otherByOne]));
  });

  it("trusts a root only where the mesh says so", async () => {
    const other = await createRoot();
    const { bundle } = assemble({ certificates: [leaf, lower, upper, root], bundle: [other, other] });
    expect(names(bundle)).toEqual(names([other]));
  });

  it("carries the time of renewal, if there is one", () => {
    const renewalTime = new Date("2030-06-02T00:00:00Z");
    const pieces = { key: leaf.key, certificates: [leaf.certificate], bundle: [], now };
    expect(assembleCredential({ ...pieces, renewalTime }).renewalTime).toBe(renewalTime);
    expect(assembleCredential(pieces)).not.toHaveProperty("renewalTime");
  });

  it("is none without a certificate, or with a chain that no mesh has", () => {
    expect(() => assemble({ certificates: [] })).toThrow(new CredentialError("no certificate"));
    const many = Array.from({ length: 20 }, () => createLeaf(root));
    return expect(Promise.all(many).then((certificates) => assemble({ certificates }))).rejects.toThrow(
      /20 certificates in one chain/,
    );
  });
});

describe("a credential parsed", () => {
  const pieces = { key: leaf.keyPem, certificates: leaf.pem, bundle: root.pem, now };

  it("is the same from PEM, from several PEMs, and from DER", () => {
    const forms = [
      { ...pieces, certificates: leaf.pem + lower.pem + upper.pem },
      { ...pieces, certificates: [leaf.pem, lower.pem, upper.pem], bundle: [root.pem, root.pem] },
      {
        key: leaf.key.export({ type: "pkcs8", format: "der" }),
        certificates: Buffer.concat([leaf.der, lower.der, upper.der]),
        bundle: root.der,
        now,
      },
    ];
    for (const credential of forms.map(parseCredential)) {
      expect(credential.key.equals(leaf.key)).toBe(true);
      expect(names(credential.chain)).toEqual(names([leaf, lower, upper]));
      expect(names(credential.bundle)).toEqual(names([root]));
    }
  });

  it.each([
    ["private key", { key: "garbage" }],
    ["chain", { certificates: "garbage" }],
    ["trust bundle", { bundle: ["garbage"] }],
  ])("names the piece that is malformed: %s", (piece, broken) => {
    expect(() => parseCredential({ ...pieces, ...broken })).toThrow(
      `ATTACHE_CREDENTIAL_MALFORMED: ${piece}: not PEM`,
    );
  });

  it("keeps the remedy of what went wrong", () => {
    const key = leaf.keyPem.replaceAll("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    expect(() => parseCredential({ ...pieces, key })).toThrow(
      expect.objectContaining({ remedy: "Give the key without a password." }),
    );
  });
});

interface Given {
  readonly key?: Issued;
  readonly certificates: readonly Issued[];
  readonly bundle?: readonly Issued[];
}

function assemble({ key = leaf, certificates, bundle = [root] }: Given) {
  return assembleCredential({
    key: key.key,
    certificates: certificates.map(({ certificate }) => certificate),
    bundle: bundle.map(({ certificate }) => certificate),
    now,
  });
}

/** The terms of another certificate for the same CA. */
function again({ keys, subject }: Issued) {
  return { keys, subject };
}

/** Equal names with an equal end: readable where they differ. */
function names(list: readonly (Issued | Issued["certificate"])[]): string[] {
  return list
    .map((one) => ("certificate" in one ? one.certificate : one))
    .map((certificate) => `${certificate.toString()} ${certificate.fingerprint.slice(0, 8)}`);
}
