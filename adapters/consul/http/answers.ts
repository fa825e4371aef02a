import type { KeyObject } from "node:crypto";
import { z, type ZodType } from "zod";
import {
  type ListedRoots,
  readCertificates,
  readRoots as rootsIn,
} from "../../../src/credentials/certificates.ts";
import { parsePrivateKey } from "../../../src/credentials/keys.ts";
import { type Certificate, CredentialError } from "../../../src/mesh/adapter.ts";
import { meshErrorOf, reading, readingInSlices } from "../../../src/mesh/kit/errors.ts";
import { noRoots } from "../meanings.ts";

/** The agent's, which it caches and keeps; `/connect/ca/roots` goes to the servers each time. */
export const rootsPath = "/agent/connect/ca/roots";

export function leafPath(service: string): string {
  return `/agent/connect/ca/leaf/${encodeURIComponent(service)}`;
}

/** What {@link leafPath} says. */
export interface AgentLeaf {
  readonly key: KeyObject;
  /** The leaf and the active root's intermediates, in whatever order. */
  readonly certificates: readonly Certificate[];
}

/** What {@link rootsPath} says. */
interface AgentRoots {
  readonly trustDomain: string;
  /** Every root that Consul lists, active or not; one at least that can be read. */
  readonly listed: ListedRoots;
}

/** @throws MeshError if it is not such an answer; quotes nothing of it, as it holds a private key. */
export async function readLeaf(text: string): Promise<AgentLeaf> {
  return readingInSlices("Consul's answer about the leaf", async () => {
    const { CertPEM, PrivateKeyPEM } = parse(leafSchema, text);
    const certificates = await readCertificates(CertPEM);
    if (certificates.length === 0) throw new CredentialError("CertPEM holds no certificate");
    return { key: parsePrivateKey(PrivateKeyPEM), certificates };
  });
}

/** @throws MeshError if it is not such an answer, or lists no root. */
export async function readRoots(text: string): Promise<AgentRoots> {
  return readingInSlices("Consul's answer about the roots", async () => {
    const { TrustDomain, Roots } = parse(rootsSchema, text);
    const listed = await rootsIn(...(Roots ?? []).map(({ RootCert }) => RootCert));
    if (listed.bundle.length > 0) return { trustDomain: TrustDomain, listed };
    throw meshErrorOf(noRoots);
  });
}

/**
 * The SecretID of the token that a login gave. @throws MeshError if it is not such an answer; quotes nothing
 * of it.
 */
export function readLogin(text: string): string {
  return reading("Consul's answer about the login", () => parse(loginSchema, text).SecretID);
}

/** Consul's names, as they stand in its API; fields that attaché does not need may be anything. */
const leafSchema = z.object({ CertPEM: z.string(), PrivateKeyPEM: z.string() });

const loginSchema = z.object({ SecretID: z.string().min(1) });

const rootsSchema = z.object({
  TrustDomain: z.string(),
  // `IntermediateCerts` is not read, array or null: a cross-signed root belongs into chains, and the leaf
  // brings it along.
  Roots: z.array(z.object({ RootCert: z.string() })).nullable(),
});

function parse<T>(schema: ZodType<T>, text: string): T {
  const { data, error } = schema.safeParse(parseJson(text));
  if (error === undefined) return data;
  const problems = error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new CredentialError(problems.slice(0, 3).join("; "));
}

/** Node's own error would quote the text. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CredentialError("not JSON");
  }
}
