import { createHash } from "node:crypto";
import { type Credential, MeshError } from "../../src/mesh/adapter.ts";
import { readCredential } from "../../src/credentials/assemble.ts";
import { expectedRenewal } from "../../src/mesh/kit/agent-renewal.ts";
import { readingInSlices } from "../../src/mesh/kit/errors.ts";
import { printable } from "../../src/text/printable.ts";
import type { X509SVID, X509SVIDResponse } from "./proto/workload.pb.ts";

/** One identity as the agent sent it. */
export class Svid {
  /** As the agent says; that the leaf says so too is only known of a credential. */
  readonly id: string;
  readonly hint: string;
  /** Equal exactly for those that are equal in all. */
  readonly digest: string;
  /** Private, and so never printed. What was sent is a part of the whole answer's memory: not kept once it was read. */
  #read: () => Promise<Credential>;
  #isRead = false;

  constructor(sent: Sent, digest: string) {
    this.id = sent.svid.spiffeId;
    this.hint = sent.svid.hint;
    this.digest = digest;
    this.#read = () => read(sent);
  }

  get isRead(): boolean {
    return this.#isRead;
  }

  /** The same one each time; it is read when it is first wanted. @throws MeshError if it cannot be used. */
  credential(): Promise<Credential> {
    const credential = this.#read();
    if (!this.#isRead) this.#read = () => credential;
    this.#isRead = true;
    return credential;
  }
}

/** What the agent sent of one identity, and the federated bundles that belong to it. */
interface Sent {
  readonly svid: X509SVID;
  readonly federated: readonly Buffer[];
  readonly crls: readonly Buffer[];
  readonly now: Date;
}

interface Reading {
  /** Whose federated bundles belong to each credential; `*`: all. */
  readonly federatedTrustDomains: readonly string[];
  /** Of the answer before: an identity that was read, and is still the same, is taken over as it is. */
  readonly previous: readonly Svid[];
  readonly now: Date;
}

/** @throws MeshError if the answer holds none. */
export function readSvids(
  answer: X509SVIDResponse,
  { federatedTrustDomains, previous, now }: Reading,
): Svid[] {
  if (answer.svids.length === 0) throw malformed("the agent's answer holds no identity");
  // Of those that were never read, the new ones: the old ones would keep the memory of their whole answers.
  const known = new Map(previous.filter(({ isRead }) => isRead).map((svid) => [svid.digest, svid]));
  const federated = federatedBundles(answer, federatedTrustDomains).map(([, bundle]) => bundle);
  return answer.svids.map((svid) => {
    const digest = digestOf(svid, [...federated, ...answer.crl]);
    return known.get(digest) ?? new Svid({ svid, federated, crls: answer.crl, now }, digest);
  });
}

/** Those that are wanted, by trust domain, in an order that does not depend on the agent's. */
export function federatedBundles(
  { federatedBundles }: Pick<X509SVIDResponse, "federatedBundles">,
  wanted: readonly string[],
): [trustDomain: string, bundle: Buffer][] {
  return (
    Object.entries(federatedBundles)
      .map(([id, bundle]): [string, Buffer] => [id.replace(/^spiffe:\/\//, ""), bundle])
      // An encoder may leave out an empty value of a map, for which the decoder has no Buffer.
      .filter(([, { length }]) => length > 0)
      .filter(([trustDomain]) => wanted.includes("*") || wanted.includes(trustDomain))
      .sort(([one], [other]) => (one < other ? -1 : 1))
  );
}

async function read({ svid, federated, crls, now }: Sent): Promise<Credential> {
  const { spiffeId, x509Svid, x509SvidKey, bundle } = svid;
  const name = printable(spiffeId);
  const pieces = {
    key: x509SvidKey,
    certificates: x509Svid,
    bundle: [bundle, ...federated],
    now,
    ...(crls.length > 0 && { crls }),
  };
  const { key, chain, ...rest } = await readingInSlices(`the SVID ${name}`, () => readCredential(pieces), {
    remedy: lookAtPeer,
  });
  const [leaf] = chain;
  const [uri = ""] = leaf.uris;
  if (bundle.length === 0) throw malformed(`the SVID ${name} comes with an empty trust bundle`);
  if (uri !== spiffeId) throw malformed(`the SVID named ${name} is for "${printable(uri)}"`);
  if (!leaf.x509().checkPrivateKey(key))
    throw malformed(`the private key of ${name} belongs to another certificate`);
  return { key, chain, ...rest, renewalTime: expectedRenewal(leaf) };
}

/** Each part with its length before it, so that none can pass for a part of another. */
function digestOf(
  { spiffeId, hint, x509Svid, x509SvidKey, bundle }: X509SVID,
  others: readonly Buffer[],
): string {
  const hash = createHash("sha256");
  for (const part of [Buffer.from(spiffeId), Buffer.from(hint), x509Svid, x509SvidKey, bundle, ...others]) {
    hash.update(`${part.length}:`).update(part);
  }
  return hash.digest("hex");
}

const lookAtPeer =
  "Look at the SPIRE agent's log and version, and at whatever else may listen on its socket.";

function malformed(problem: string): MeshError {
  return new MeshError("ATTACHE_MESH_MALFORMED", problem, { remedy: lookAtPeer });
}
