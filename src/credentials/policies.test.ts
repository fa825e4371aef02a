import { X509Certificate } from "node:crypto";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  asVersion1,
  BasicConstraintsExtension,
  createIntermediate,
  createLeaf,
  createRoot,
  crossSign,
  ExtendedKeyUsage,
  Extension,
  type Issued,
  KeyUsageFlags,
  type Terms,
  uriConstraint,
} from "../../test/fixtures/pki.ts";
import { createCrl } from "../../test/fixtures/crl.ts";
import { explicit, implicit, sequence } from "../../test/fixtures/der.ts";
import { type Candidate, defaultLimits, type Limits, type PolicyName } from "./candidate.ts";
import { oddCertificates } from "../../test/fixtures/odd-certificates.ts";
import { Certificate } from "./certificate.ts";
import { maxIntermediates } from "./chain.ts";
import { parseCrls } from "./crl.ts";
import type { Credential } from "./credential.ts";
import { admit, policies } from "./policies.ts";
import { parseSpiffeIdPattern } from "./spiffe-id.ts";

const now = new Date("2030-06-01T12:00:00Z");
const minute = 60_000;
const hour = 60 * minute;
const at = (offsetMs: number) => new Date(now.getTime() + offsetMs);

const root = await createRoot();
const intermediate = await createIntermediate(root);
const leaf = await createLeaf(intermediate);
const roots = await Promise.all(Array.from({ length: 12 }, () => createRoot()));
const day: Terms = { notBefore: at(-12 * hour), notAfter: at(12 * hour) };

describe("the policies", () => {
  it("stand in the order in which a reader should learn what is wrong", () => {
    expect(policies.map(({ name }) => name)).toEqual([
      "is-within-limits",
      "readable-by-envoy-and-emissary",
      "key-matches-leaf",
      "chain-is-ordered-and-leads-to-bundle",
      "leaf-is-current",
      "is-not-revoked",
      "identity-is-expected",
      "identity-is-allowed",
      "key-is-strong",
      "not-a-replay",
    ]);
  });

  it("admit a sound credential", () => {
    expect(admit(candidate())).toEqual({ kind: "admitted" });
  });

  it("reject for the first reason when there are several", async () => {
    const weak = await createLeaf(intermediate, { keyType: "RSA-1024", uris: [] });
    const verdict = admit(candidate({ chain: [weak, intermediate], key: leaf }));
    expect(verdict).toMatchObject({ kind: "rejected", rejection: { policy: "key-matches-leaf" } });
  });

  it("say the fact and the remedy, and name no key", async () => {
    const stranger = await createLeaf(intermediate);
    const rejection = rejectionBy("key-matches-leaf", candidate({ key: stranger }));
    expect(rejection?.message).toBe(
      'The private key does not belong to the leaf "spiffe://example.org/edge".',
    );
    expect(rejection?.remedy).toMatch(/^The mesh sends the key of one rotation/);
    expect(JSON.stringify(rejection)).not.toContain(stranger.keyPem.split("\n")[1]);
  });
});

describe("readable-by-envoy-and-emissary", () => {
  it.each([
    ["a leaf", "version 1 with extensions", /^Envoy does not read .*: it has version 1 with extensions\.$/],
    ["a leaf", "a negative serial number", /^Emissary does not read .*: it has a negative serial number\.$/],
  ])("rejects %s with %s", (_role, what, message) => {
    const odd = oddCertificates.find((one) => one.role === "leaf" && one.what === what);
    const certificate = new Certificate(odd?.made.der ?? Buffer.alloc(0));
    const credential = { ...candidate().credential, chain: [certificate] as const };
    const verdict = admit({ ...candidate(), credential });
    expect(verdict).toMatchObject({
      kind: "rejected",
      rejection: {
        policy: "readable-by-envoy-and-emissary",
        message: expect.stringMatching(message) as string,
      },
    });
  });

  it("rejects a bundle whose every root Go cannot read", () => {
    const odd = oddCertificates.find(
      (one) => one.role === "authority" && one.what === "a negative serial number",
    );
    const credential = {
      ...candidate().credential,
      bundle: [new Certificate(odd?.made.der ?? Buffer.alloc(0))],
    };
    expect(admit({ ...candidate(), credential })).toMatchObject({
      rejection: {
        policy: "readable-by-envoy-and-emissary",
        message: 'Emissary reads no root of the mesh: "CN=hand-made root" has a negative serial number.',
      },
    });
  });

  it("looks at the intermediates as well", () => {
    const odd = oddCertificates.find(
      (one) => one.role === "authority" && one.what === "version 1 with extensions",
    );
    const { credential } = candidate();
    const [first] = credential.chain;
    const chain = [first, new Certificate(odd?.made.der ?? Buffer.alloc(0))] as const;
    expect(admit({ ...candidate(), credential: { ...credential, chain } })).toMatchObject({
      rejection: { policy: "readable-by-envoy-and-emissary" },
    });
  });
});

describe("key-matches-leaf", () => {
  table("key-matches-leaf", {
    "takes the leaf's own key": { with: () => ({}) },
    "rejects the key of another leaf of the same identity": {
      with: async () => ({ key: await createLeaf(intermediate) }),
      because: /does not belong to the leaf/,
    },
    "rejects a key of another kind": {
      with: async () => ({ key: await createLeaf(intermediate, { keyType: "RSA-2048" }) }),
      because: /does not belong to the leaf/,
    },
    "rejects the key of the intermediate": {
      with: () => ({ key: intermediate }),
      because: /does not belong/,
    },
  });
});

describe("chain-is-ordered-and-leads-to-bundle", () => {
  const under = async (issuer: Issued, terms?: Terms) => [await createLeaf(issuer, terms), issuer];
  const oid = "1.3.6.1.4.1.99999.1";
  const unknown = new Extension(oid, true, new Uint8Array([5, 0]));

  table("chain-is-ordered-and-leads-to-bundle", {
    "takes a leaf that the root itself has signed": {
      with: async () => ({ chain: [await createLeaf(root)] }),
    },
    "rejects an empty bundle": { with: () => ({ bundle: [] }), because: /the trust bundle is empty/ },
    "rejects a bundle of unrelated roots": {
      with: async () => ({ bundle: [await createRoot(), await createRoot()] }),
      because: /no CA in chain or bundle has signed "CN=intermediate/,
    },
    "rejects name constraints that would take ages to compare": {
      with: async () => {
        const bases = Array.from({ length: 200 }, (_, index) => sequence(implicit(2, `${index}.example`)));
        const constraints = new Extension("2.5.29.30", true, sequence(explicit(1, ...bases)));
        const issuer = await createRoot({ extensions: [constraints] });
        const dns = Array.from({ length: 100 }, (_, index) => `${index}.example.org`);
        return { chain: [await createLeaf(issuer, { dns })], bundle: [issuer] };
      },
      because: /more than 16384 comparisons/,
    },
    "rejects a root of the same name with another key": {
      with: async () => ({ bundle: [await createRoot({ subject: root.subject })] }),
      because: /no CA in chain or bundle has signed/,
    },
    "rejects a chain without its intermediate": {
      with: () => ({ chain: [leaf] }),
      because: /no CA .* has signed/,
    },
    "takes an intermediate that stands only in the bundle": {
      with: () => ({ chain: [leaf], bundle: [intermediate] }),
    },
    "rejects intermediates in the wrong order": {
      with: async () => {
        const lower = await createIntermediate(intermediate);
        return { chain: [await createLeaf(lower), intermediate, lower] };
      },
      because: /out of order: "CN=intermediate \d+" is not the CA of any certificate before it/,
    },
    "rejects a certificate that is of no use": {
      with: async () => ({ chain: [leaf, intermediate, await createIntermediate(root)] }),
      because: /out of order/,
    },
    "rejects an endless chain": {
      with: () => ({ chain: [leaf, ...Array.from({ length: 17 }, () => intermediate)] }),
      because: /17 intermediates, more than 16/,
    },
    "takes a cross-signed root where the bundle has only the old one": {
      with: async () => {
        const [newRoot, chain] = [await createRoot(), []];
        const lower = await createIntermediate(newRoot);
        return { chain: [...chain, await createLeaf(lower), lower, await crossSign(newRoot, root)] };
      },
    },
    "takes a cross-signed root where the bundle has only the new one": {
      with: async () => {
        const newRoot = await createRoot();
        const chain = [...(await under(await createIntermediate(newRoot))), await crossSign(newRoot, root)];
        return { chain, bundle: [newRoot] };
      },
    },
    "goes around an expired root by its cross-signed twin": {
      with: async () => {
        const expired = await createRoot({ notAfter: at(-hour) });
        const chain = [...(await under(await createIntermediate(expired))), await crossSign(expired, root)];
        return { chain, bundle: [expired, root] };
      },
    },
    "takes a root of version 1, which cannot say that it is a CA": {
      with: async () => {
        const old = asVersion1(await createRoot());
        return { chain: [await createLeaf(old)], bundle: [old] };
      },
    },
    "rejects an intermediate of version 1": {
      with: async () => ({ chain: await under(asVersion1(await createIntermediate(root), root)) }),
      because: /"CN=intermediate \d+" is no CA/,
    },
    "rejects an expired root": {
      with: async () => {
        const expired = await createRoot({ notAfter: at(-hour) });
        return { chain: [await createLeaf(expired)], bundle: [expired] };
      },
      because: /"CN=root \d+" is valid from 2020-01-01T00:00:00.000Z to 2030-06-01T11:00:00.000Z/,
    },
    "takes an intermediate that is not yet valid by less than the skew": {
      with: async () => ({
        chain: await under(await createIntermediate(root, { notBefore: at(4 * minute) })),
      }),
    },
    "rejects an intermediate that is not yet valid, and says when to look again": {
      with: async () => ({ chain: await under(await createIntermediate(root, { notBefore: at(hour) })) }),
      because: /is valid from 2030-06-01T13:00:00.000Z/,
      reviewAt: at(hour - 5 * minute),
    },
    "rejects an intermediate that is no CA": {
      with: async () => {
        const extensions = [new BasicConstraintsExtension(false, undefined, true)];
        return { chain: await under(await createIntermediate(root, { isCa: false, extensions })) };
      },
      because: /"CN=intermediate \d+" is no CA/,
    },
    "rejects a leaf that was signed by a leaf": {
      with: async () => ({
        chain: [...(await under(await createLeaf(intermediate, { subject: "CN=x" }))), intermediate],
      }),
      because: /no CA in chain or bundle has signed "spiffe:\/\/example.org\/edge"/,
    },
    "rejects an intermediate that may not sign certificates": {
      with: async () => ({
        chain: await under(await createIntermediate(root, { keyUsage: [KeyUsageFlags.cRLSign] })),
      }),
      because: /no CA in chain or bundle has signed "spiffe:\/\/example.org\/edge"/,
    },
    "takes as many CAs below one as it allows": {
      with: async () => {
        const upper = await createIntermediate(root, { pathLength: 1 });
        const lower = await createIntermediate(upper, { pathLength: 0 });
        return { chain: [await createLeaf(lower), lower, upper] };
      },
    },
    "rejects more CAs below one than it allows": {
      with: async () => {
        const upper = await createIntermediate(root, { pathLength: 0 });
        const lower = await createIntermediate(upper);
        return { chain: [await createLeaf(lower), lower, upper] };
      },
      because: /allows 0 CAs below it, not 1/,
    },
    "does not count a CA that is self-issued, as where a root is followed by one of the same name": {
      with: async () => {
        const newRoot = await createRoot({ subject: root.subject });
        const narrow = await createRoot({ subject: root.subject, pathLength: 0 });
        return { chain: [await createLeaf(newRoot), await crossSign(newRoot, narrow)], bundle: [narrow] };
      },
    },
    "takes an identity of a host that a CA is limited to": {
      with: async () => ({
        chain: await under(await createIntermediate(root, { extensions: [uriConstraint("example.org")] })),
      }),
    },
    "rejects an identity of a host that a CA is not limited to": {
      with: async () => ({
        chain: await under(await createIntermediate(root, { extensions: [uriConstraint(".example.org")] })),
      }),
      because: /has a name constraint against the identity/,
    },
    "rejects an identity of a host that a CA must not name": {
      with: async () => ({
        chain: await under(
          await createIntermediate(root, { extensions: [uriConstraint("example.org", "excluded")] }),
        ),
      }),
      because: /has a name constraint against the identity/,
    },
    "takes an identity where a CA must not name another host": {
      with: async () => ({
        chain: await under(
          await createIntermediate(root, { extensions: [uriConstraint(".org.test", "excluded")] }),
        ),
      }),
    },
    "rejects a root of the same name with another key, also without key identifiers": {
      with: async () => {
        const terms = { subject: "CN=same", hasKeyIds: false };
        const chain = [await createLeaf(await createRoot(terms), { hasKeyIds: false })];
        return { chain, bundle: [await createRoot(terms)] };
      },
      because: /"CN=same" has not signed/,
    },
    "rejects a leaf that is not for clients": {
      with: async () => ({
        chain: [await createLeaf(root, { extendedKeyUsage: [ExtendedKeyUsage.serverAuth] })],
      }),
      because: /"spiffe:\/\/example.org\/edge" is not for clientAuth/,
    },
    "takes a leaf without extended key usage": {
      with: async () => ({ chain: [await createLeaf(root, { extendedKeyUsage: null, keyUsage: null })] }),
    },
    "rejects an intermediate that is not for clients": {
      with: async () => ({
        chain: await under(
          await createIntermediate(root, { extendedKeyUsage: [ExtendedKeyUsage.serverAuth] }),
        ),
      }),
      because: /"CN=intermediate \d+" is not for clientAuth/,
    },
    "rejects a leaf whose key may not sign a handshake": {
      with: async () => ({ chain: [await createLeaf(root, { keyUsage: [KeyUsageFlags.keyEncipherment] })] }),
      because: /key usage is not digitalSignature/,
    },
    "rejects a leaf that is a CA": {
      with: async () => ({
        chain: [await createLeaf(root, { isCa: true, keyUsage: [KeyUsageFlags.keyCertSign] })],
      }),
      because: /the leaf is a CA/,
    },
    "rejects an unknown critical extension of an intermediate": {
      with: async () => ({ chain: await under(await createIntermediate(root, { extensions: [unknown] })) }),
      because: /unknown critical extension 1\.3\.6\.1\.4\.1\.99999\.1/,
    },
    "rejects an unknown critical extension of the leaf": {
      with: async () => ({ chain: [await createLeaf(root, { extensions: [unknown] })] }),
      because: /unknown critical extension/,
    },
    "takes an unknown extension that is not critical": {
      with: async () => ({
        chain: [await createLeaf(root, { extensions: [new Extension(oid, false, new Uint8Array([5, 0]))] })],
      }),
    },
  });

  it("checks one signature for each step, whatever CAs have signed each other in all ways", async () => {
    const one = await createRoot({ subject: "CN=same", hasKeyIds: false });
    const other = await createRoot({ subject: "CN=same", hasKeyIds: false });
    const web: Issued[] = [];
    for (let count = 0; count < 8; count += 1)
      web.push(await crossSign(one, other), await crossSign(other, one));
    const given = candidate({ chain: [await createLeaf(one), ...web], bundle: [root] });
    const verify = vi.spyOn(X509Certificate.prototype, "verify");
    onTestFinished(() => verify.mockRestore());
    expect(rejectionBy("chain-is-ordered-and-leads-to-bundle", given)).toBeDefined();
    expect(verify.mock.calls.length).toBeLessThanOrEqual(maxIntermediates + 1);
  });

  it("follows the bundle as Envoy does: the first root of the name, if no key identifier says otherwise", async () => {
    const subject = "CN=twin";
    const [right, wrong] = [
      await createRoot({ subject, hasKeyIds: false }),
      await createRoot({ subject, hasKeyIds: false }),
    ];
    const given = candidate({
      chain: [await createLeaf(right, { hasKeyIds: false })],
      bundle: [wrong, right],
    });
    expect(rejectionBy("chain-is-ordered-and-leads-to-bundle", given)).toBeUndefined();
    const publishedBundle = () => [wrong.certificate, right.certificate];
    const rejection = rejectionBy("chain-is-ordered-and-leads-to-bundle", { ...given, publishedBundle });
    expect(rejection?.message).toContain('"CN=twin" has not signed');
  });
});

describe("leaf-is-current", () => {
  const valid = async (from: number, to: number) => ({
    chain: [await createLeaf(intermediate, { notBefore: at(from), notAfter: at(to) }), intermediate],
  });

  table("leaf-is-current", {
    "takes a leaf in the middle of its life": { with: () => valid(-hour, hour) },
    "takes a leaf that begins within the skew": { with: () => valid(5 * minute, hour) },
    "rejects a leaf that begins later, and says when to look again": {
      with: () => valid(6 * minute, hour),
      because: /is not valid before 2030-06-01T12:06:00.000Z/,
      reviewAt: at(minute),
    },
    "takes a leaf that ended within the skew": { with: () => valid(-hour, -4 * minute) },
    "rejects a leaf that ended earlier": {
      with: () => valid(-hour, -5 * minute),
      because: /expired at 2030-06-01T11:55:00.000Z/,
    },
  });
});

describe("is-not-revoked", () => {
  const revoking = (issuer: Issued, revoked: Issued) => {
    const crls = parseCrls(createCrl(issuer, { revoked: [revoked.certificate] }));
    return { ...candidate(), credential: { ...credentialOf({}), crls } };
  };

  it("rejects a chain with a certificate that its CA revokes, and names it", () => {
    expect(rejectionBy("is-not-revoked", revoking(root, intermediate))?.message).toMatch(
      /^"CN=intermediate \d+" \(serial number [0-9A-F]+\) is revoked by the mesh's own revocation list\.$/,
    );
    expect(rejectionBy("is-not-revoked", revoking(intermediate, leaf))?.remedy).toMatch(
      /^Let the mesh issue/,
    );
  });

  it("believes no other CA", () => {
    expect(admit(revoking(roots[0] ?? root, leaf))).toEqual({ kind: "admitted" });
  });
});

describe("identity-is-expected", () => {
  const named = async (...uris: string[]) => ({
    chain: [await createLeaf(intermediate, { uris }), intermediate],
  });
  const id = "spiffe://example.org/ns/default/dc/dc1/svc/web";

  table("identity-is-expected", {
    "takes any SPIFFE ID when none is expected": { with: () => named(id) },
    "takes the very ID": { with: async () => ({ ...(await named(id)), expected: { spiffeId: id } }) },
    "rejects another ID": {
      with: async () => ({ ...(await named(id)), expected: { spiffeId: `${id}-2` } }),
      because:
        /^The leaf is for spiffe:\/\/example.org\/ns\/default\/dc\/dc1\/svc\/web, not for spiffe:.*web-2\.$/,
    },
    "takes an ID of the expected shape": {
      with: async () => ({
        ...(await named(id)),
        expected: { spiffeId: parseSpiffeIdPattern("spiffe://*/ns/default/dc/*/svc/web") },
      }),
    },
    "rejects an ID of another shape": {
      with: async () => ({ ...(await named(id)), expected: { spiffeId: /\/svc\/api$/ } }),
      because: /not for \/\\\/svc\\\/api\$\//,
    },
    "takes the escaped name of just the service that is expected": {
      with: async () => ({
        ...(await named(`${id}%20app`)),
        expected: { spiffeId: parseSpiffeIdPattern("spiffe://*/ns/default/dc/*/svc/web%20app") },
      }),
    },
    "rejects an escaped name where any is expected, as of SPIFFE and Istio": {
      with: async () => ({
        ...(await named(`${id}%20app`)),
        expected: { spiffeId: parseSpiffeIdPattern("spiffe://**") },
      }),
      because: /web%20app" is not a SPIFFE ID/,
    },
    "takes the expected trust domain": {
      with: async () => ({ ...(await named(id)), expected: { trustDomain: "example.org" } }),
    },
    "takes a trust domain in another case, as Istio issues what is configured": {
      with: async () => ({
        ...(await named("spiffe://Prod.Example/edge")),
        expected: { trustDomain: "prod.example", spiffeId: "spiffe://prod.example/edge" },
      }),
    },
    "rejects another trust domain": {
      with: async () => ({ ...(await named(id)), expected: { trustDomain: "example.com" } }),
      because: /not of the trust domain example\.com/,
    },
    "rejects a leaf without an identity": { with: () => named(), because: /has 0 URI names/ },
    "rejects a leaf with two identities": { with: () => named(id, `${id}-2`), because: /has 2 URI names/ },
    "rejects an identity that is no SPIFFE ID": {
      with: () => named("https://example.org/edge"),
      because: /"https:\/\/example.org\/edge" is not a SPIFFE ID/,
    },
  });
});

describe("identity-is-allowed", () => {
  const allowed = (...patterns: string[]) => ({ allowed: patterns.map(parseSpiffeIdPattern) });

  table("identity-is-allowed", {
    "takes an identity that one of the patterns allows": {
      with: () => allowed("spiffe://example.com/**", "spiffe://example.org/e*"),
    },
    "rejects an identity that no pattern allows": {
      with: () => allowed("spiffe://example.com/**", "spiffe://example.org/edge/*"),
      because: /^The identity spiffe:\/\/example.org\/edge is not allowed here\.$/,
    },
    "rejects every identity when nothing is allowed": {
      with: () => allowed(),
      because: /is not allowed here/,
    },
  });
});

describe("key-is-strong", () => {
  const keyed = async (keyType: Terms["keyType"] & string) => ({
    chain: [await createLeaf(intermediate, { keyType }), intermediate],
  });

  table("key-is-strong", {
    "takes EC P-256": { with: () => keyed("P-256") },
    "takes EC P-384": { with: () => keyed("P-384") },
    "takes EC P-521": { with: () => keyed("P-521") },
    "takes RSA with 2048 bits": { with: () => keyed("RSA-2048") },
    "rejects RSA with 1024 bits": { with: () => keyed("RSA-1024"), because: /is RSA with 1024 bits/ },
    "rejects Ed25519, which Envoy does not know": {
      with: () => keyed("Ed25519"),
      because: /of the type ed25519/,
    },
    "takes an intermediate with Ed25519, which Envoy verifies": {
      with: async () => {
        const authority = await createIntermediate(root, { keyType: "Ed25519" });
        return { chain: [await createLeaf(authority), authority] };
      },
    },
    "rejects an intermediate with a weak key": {
      with: async () => {
        const weak = await createIntermediate(root, { keyType: "RSA-1024" });
        return { chain: [await createLeaf(weak), weak] };
      },
      because: /The key of "CN=intermediate \d+" is RSA with 1024 bits/,
    },
    "rejects a signature with SHA-1": {
      with: async () => ({ chain: [await createLeaf(intermediate, { hash: "SHA-1" }), intermediate] }),
      because: /The signature of "spiffe:\/\/example.org\/edge" is ecdsa-with-SHA1/,
    },
    "rejects an RSA signature with SHA-1": {
      with: async () => {
        const rsaRoot = await createRoot({ keyType: "RSA-2048" });
        return { chain: [await createLeaf(rsaRoot, { hash: "SHA-1" })] };
      },
      because: /is sha1WithRSAEncryption/,
    },
    "takes a signature with SHA-384": {
      with: async () => ({ chain: [await createLeaf(intermediate, { hash: "SHA-384" }), intermediate] }),
    },
  });
});

describe("not-a-replay", () => {
  const issued = async (fromMs: number, toMs: number, issuer = intermediate) => [
    await createLeaf(issuer, { notBefore: at(fromMs), notAfter: at(toMs) }),
    issuer,
  ];
  const published = async (...dates: [number, number]) => credentialOf({ chain: await issued(...dates) });

  table("not-a-replay", {
    "takes the first leaf": { with: () => ({}) },
    "takes a newer leaf": {
      with: async () => ({
        chain: await issued(-1 * hour, 23 * hour),
        published: await published(-12 * hour, 12 * hour),
      }),
    },
    "takes the published leaf again": {
      with: async () => {
        const chain = await issued(-12 * hour, 12 * hour);
        return { chain, published: credentialOf({ chain }) };
      },
    },
    "rejects an older leaf while the published one is good, and looks again when that ends": {
      with: async () => ({
        chain: await issued(-12 * hour, 12 * hour),
        published: await published(-1 * hour, 23 * hour),
      }),
      because:
        /^The leaf of 2030-06-01T00:00:00.000Z is older than the published one of 2030-06-01T11:00:00.000Z/,
      reviewAt: at(23 * hour),
    },
    "rejects an older leaf also when it lives longer": {
      with: async () => ({
        chain: await issued(-12 * hour, 60 * hour),
        published: await published(-1 * hour, hour),
      }),
      because: /is older than the published one/,
      reviewAt: at(hour),
    },
    "takes a newer leaf with a shorter life": {
      with: async () => ({
        chain: await issued(-1 * minute, hour),
        published: await published(-12 * hour, 60 * hour),
      }),
    },
    "takes a leaf that is older by no more than the clocks may disagree": {
      with: async () => ({
        chain: await issued(-10 * minute, hour),
        published: await published(-5 * minute, hour),
      }),
    },
    "takes an older leaf when the published one has expired": {
      with: async () => ({
        chain: await issued(-12 * hour, 12 * hour),
        published: await published(-2 * hour, -1 * minute),
      }),
    },
    "takes an older leaf when the published one begins in the future, as after a repaired clock": {
      with: async () => ({
        chain: await issued(-1 * hour, 23 * hour),
        published: await published(4 * minute, 24 * hour),
      }),
    },
    "takes an older leaf of a CA that was set back to where it does not know the published one": {
      with: async () => {
        const oldRoot = await createRoot();
        const chain = await issued(-12 * hour, 12 * hour, await createIntermediate(oldRoot));
        return { chain, bundle: [oldRoot], published: await published(-1 * hour, 23 * hour) };
      },
    },
    "rejects an older leaf of the old root while the new root is still trusted": {
      with: async () => {
        const oldRoot = await createRoot();
        const chain = await issued(-12 * hour, 12 * hour, await createIntermediate(oldRoot));
        return { chain, bundle: [oldRoot, root], published: await published(-1 * hour, 23 * hour) };
      },
      because: /is older than the published one/,
      reviewAt: at(23 * hour),
    },
    "takes an older leaf when the published one is of an identity that is expected no more": {
      with: async () => ({
        chain: [
          await createLeaf(intermediate, { ...day, uris: ["spiffe://example.org/other"] }),
          intermediate,
        ],
        expected: { spiffeId: "spiffe://example.org/other" },
        published: await published(-1 * hour, 23 * hour),
      }),
    },
  });
});

describe("is-within-limits", () => {
  const limits = (changed: Partial<Limits>) => ({ limits: { ...defaultLimits, ...changed } });

  table("is-within-limits", {
    "takes what meshes send": { with: () => ({}) },
    "rejects a chain that is too large, with room for any key": {
      with: () => limits({ secretBytes: 21 * 1024 }),
      because: /^The chain takes 2\d{4} bytes in a Secret, which holds 21504/,
    },
    "rejects a bundle that fits only without what base64 adds": {
      with: () => ({
        bundle: Array.from({ length: 60 }, () => roots).flat(),
        ...limits({
          secretBytes: 60 * roots.map(({ pem }) => pem).join("").length,
          bundleCertificates: 60 * roots.length,
        }),
      }),
      because: /^The trust bundle takes \d{6} bytes in a Secret/,
    },
    "takes a bundle of 64 roots": { with: () => ({ bundle: Array<Issued>(64).fill(root) }) },
    "rejects one more, and says which limit that is": {
      with: () => ({ bundle: Array<Issued>(65).fill(root) }),
      because: /^The trust bundle has 65 certificates, more than 64\.$/,
    },
    "takes more where the limit is higher": {
      with: () => ({ bundle: Array<Issued>(65).fill(root), ...limits({ bundleCertificates: 65 }) }),
    },
  });

  it("names the limit and where it is set", () => {
    const rejection = rejectionBy("is-within-limits", candidate({ bundle: Array<Issued>(65).fill(root) }));
    expect(rejection?.remedy).toContain("limits.bundleCertificates");
  });
});

interface Given extends Partial<Pick<Candidate, "expected" | "allowed" | "published" | "limits">> {
  readonly key?: Issued;
  readonly chain?: readonly Issued[];
  readonly bundle?: readonly Issued[];
}

interface Case {
  readonly with: () => Given | Promise<Given>;
  /** Absent: the candidate passes. */
  readonly because?: RegExp;
  readonly reviewAt?: Date;
}

/** What the one policy says, also where an earlier one would have spoken. */
function table(name: PolicyName, cases: Readonly<Record<string, Case>>): void {
  it.each(Object.entries(cases))("%s", async (_sentence, { with: given, because, reviewAt }) => {
    const rejection = rejectionBy(name, candidate(await given()));
    if (because === undefined) {
      expect(rejection).toBeUndefined();
    } else {
      expect(rejection?.policy).toBe(name);
      expect(rejection?.message).toMatch(because);
      expect(rejection?.remedy).not.toBe("");
      expect(rejection?.reviewAt).toEqual(reviewAt);
    }
  });
}

function rejectionBy(name: PolicyName, given: Candidate) {
  return policies.find((policy) => policy.name === name)?.check(given);
}

function candidate({ key, chain, bundle, ...rest }: Given = {}): Candidate {
  return {
    credential: credentialOf({ ...(key && { key }), ...(chain && { chain }), ...(bundle && { bundle }) }),
    expected: {},
    allowed: [parseSpiffeIdPattern("spiffe://*/**")],
    now,
    clockSkewMs: 5 * minute,
    limits: defaultLimits,
    ...rest,
  };
}

function credentialOf({ key, chain = [leaf, intermediate], bundle = [root] }: Given): Credential {
  const [first = leaf, ...others] = chain;
  const certificatesOf = (issued: readonly Issued[]): Certificate[] =>
    issued.map(({ certificate }) => certificate);
  return {
    key: (key ?? first).key,
    chain: [first.certificate, ...certificatesOf(others)],
    bundle: certificatesOf(bundle),
  };
}
