import { generateKeyPair, type KeyObject, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import type { Clock } from "../../runtime/clock.ts";
import { Certificate } from "../../credentials/certificate.ts";
import {
  bitString,
  boolean,
  type Certified,
  commonName,
  dnsName,
  extension,
  keyIdentifiers,
  names,
  oid,
  sequence,
  signCertificate,
  tlv,
  uriName,
} from "./der.ts";

/** The certificate authority of a development mesh: real roots and leaves, with lives of seconds if asked. */
export interface Authority {
  readonly trustDomain: string;
  /** Every root that must be trusted now, the oldest first; the last one is active and signs. Never empty. */
  roots(): readonly AuthorityRoot[];
  /** A leaf with a new EC P-256 key, made off the event loop. */
  issue(request: LeafRequest): Promise<Issued>;
  /** A leaf for a key of the requester, as for a CSR. */
  sign(request: LeafRequest & { readonly publicKey: KeyObject }): Chain;
  /**
   * Makes a new root and lets it sign from now on. As Consul does it, the old root stays listed until it is
   * dropped, and the new one carries itself cross-signed by the old one, for those who trust only that.
   */
  rotateRoot(): Promise<AuthorityRoot>;
  /** Takes a root that no longer signs out of the list; one that is not there, or signs, changes nothing. */
  dropRoot(fingerprint: string): void;
  /** Calls `listener` after each change of the list of roots, until the returned function is called. */
  subscribe(listener: () => void): () => void;
}

interface AuthorityOptions {
  /** The SPIFFE trust domain, named in each root as `spiffe://TRUST_DOMAIN`. */
  readonly trustDomain: string;
  readonly clock: Clock;
  /** From issue to notAfter; an hour by default. X.509 counts in seconds: fractions are cut. */
  readonly leafLifetimeMs?: number;
  /** Ten years by default, as Consul's own. */
  readonly rootLifetimeMs?: number;
}

export interface AuthorityRoot {
  readonly certificate: Certificate;
  /** Whether it signs the leaves that are issued now. */
  readonly active: boolean;
  /** This root cross-signed by the one before it; empty for the first. Consul's `IntermediateCerts`. */
  readonly intermediates: readonly Certificate[];
}

interface LeafRequest {
  /** The one URI subject alternative name; the subject is empty. */
  readonly uri: string;
  /** Names of a server beside it. */
  readonly dns?: readonly string[];
  /** Instead of the authority's `leafLifetimeMs`. */
  readonly lifetimeMs?: number;
}

/** Leaf first, then the active root's intermediates that have not expired; no self-signed root. */
type Chain = readonly [leaf: Certificate, ...intermediates: Certificate[]];

export interface Issued {
  /** `key.export({ type: "sec1", format: "pem" })` is Consul's form, `"pkcs8"` SPIRE's. */
  readonly key: KeyObject;
  readonly chain: Chain;
}

const dayMs = 86_400_000;

/** How long Consul's cross-signed roots live (agent/connect/ca/provider_consul.go, CrossSignCA). */
const crossSignLifetimeMs = 7 * dayMs;

/** What an issuer and its certificates are made of. */
interface Root extends AuthorityRoot, Issuer {
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
}

interface Issuer {
  /** A Name in DER. */
  readonly name: Buffer;
  readonly key: KeyObject;
  readonly publicKey: Buffer;
}

export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  const { trustDomain, clock, leafLifetimeMs = 3_600_000, rootLifetimeMs = 3650 * dayMs } = options;
  const listeners = new Set<() => void>();
  let active = await createRoot();
  let retired: readonly Root[] = [];

  async function createRoot(previous?: Root): Promise<Root> {
    const keys = await createKeys();
    const publicKey = spki(keys.publicKey);
    const name = commonName(tlv(0x0c, `attache development root ${randomBytes(4).toString("hex")}`));
    const self = { name, key: keys.privateKey, publicKey };
    const terms: Terms = { subject: name, publicKey, extensions: authorityExtensions(trustDomain) };
    const now = clock.now();
    const certificate = certify(terms, self, validity(now, rootLifetimeMs));
    if (previous === undefined) return { ...self, certificate, active: true, intermediates: [] };
    const untilMs = Math.min(
      crossSignLifetimeMs,
      previous.certificate.notAfter.getTime() - now.getTime(),
      rootLifetimeMs,
    );
    const crossSigned = certify(terms, previous, validity(now, untilMs));
    return { ...self, certificate, active: true, intermediates: [crossSigned] };
  }

  function sign({ uri, dns = [], lifetimeMs = leafLifetimeMs, publicKey }: SignRequest): Chain {
    const issuer = active;
    const now = clock.now();
    const terms = { subject: sequence(), publicKey: spki(publicKey), extensions: leafExtensions(uri, dns) };
    const leaf = certify(terms, issuer, validity(now, lifetimeMs, backdateMs(lifetimeMs)));
    return [leaf, ...issuer.intermediates.filter((certificate) => certificate.notAfter > now)];
  }

  function changed(): void {
    for (const listener of listeners) listener();
  }

  return {
    trustDomain,
    roots: () => [...retired, active],
    sign,
    async issue(request) {
      const { privateKey, publicKey } = await createKeys();
      return { key: privateKey, chain: sign({ ...request, publicKey }) };
    },
    async rotateRoot() {
      const next = await createRoot(active);
      retired = [...retired, { ...active, active: false }];
      active = next;
      changed();
      return next;
    },
    dropRoot(fingerprint) {
      const left = retired.filter((root) => root.certificate.fingerprint !== fingerprint);
      if (left.length === retired.length) return;
      retired = left;
      changed();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

type SignRequest = Parameters<Authority["sign"]>[0];

type Terms = Pick<Certified, "subject" | "publicKey" | "extensions">;

interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

function validity(now: Date, lifetimeMs: number, earlierMs = 0): Validity {
  return {
    notBefore: new Date(now.getTime() - earlierMs),
    notAfter: new Date(now.getTime() + lifetimeMs),
  };
}

/**
 * Consul's minute for clocks that are behind, but no more than what leaves a life of seconds recognisable.
 */
function backdateMs(lifetimeMs: number): number {
  return Math.min(60_000, lifetimeMs / 10);
}

function createKeys() {
  return promisify(generateKeyPair)("ec", { namedCurve: "P-256" });
}

const spki = (key: KeyObject) => key.export({ type: "spki", format: "der" });

function certify(terms: Terms, issuer: Issuer, life: Validity): Certificate {
  const extensions = [...terms.extensions, ...keyIdentifiers(terms.publicKey, issuer.publicKey)];
  return new Certificate(signCertificate({ issuer: issuer.name, ...terms, ...life, extensions }, issuer.key));
}

function authorityExtensions(trustDomain: string): Buffer[] {
  const isAuthority = sequence(boolean());
  const keyCertSignAndCrlSign = bitString(1, 0x06);
  return [
    extension("2.5.29.19", isAuthority, boolean()),
    extension("2.5.29.15", keyCertSignAndCrlSign, boolean()),
    names(uriName(`spiffe://${trustDomain}`)),
  ];
}

/** As X509-SVID, section 4, asks: one URI, critical because the subject is empty (RFC 5280, 4.2.1.6). */
function leafExtensions(uri: string, dns: readonly string[]): Buffer[] {
  const digitalSignature = bitString(7, 0x80);
  const clientAuthAndServerAuth = sequence(oid("1.3.6.1.5.5.7.3.2"), oid("1.3.6.1.5.5.7.3.1"));
  return [
    extension("2.5.29.15", digitalSignature, boolean()),
    extension("2.5.29.37", clientAuthAndServerAuth),
    extension("2.5.29.17", sequence(uriName(uri), ...dns.map(dnsName)), boolean()),
  ];
}
