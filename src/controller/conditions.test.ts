import { expect, it } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { parseSpiffeIdPattern } from "../credentials/spiffe-id.ts";
import { MeshError } from "../mesh/errors.ts";
import { nothingPublished } from "../render/read-back.ts";
import { NotAllowedError } from "./allow.ts";
import { type Findings, statusOf } from "./conditions.ts";

const now = new Date("2026-06-01T12:00:00Z");

async function findings(rootNotAfter: Date): Promise<Findings> {
  const root = await createRoot({ notAfter: rootNotAfter });
  const leaf = await createLeaf(root);
  const { fingerprint } = root.certificate;
  const bundle = [root.certificate];
  return {
    identity: identity(),
    mesh: "consul",
    servedBy: "emissary/attache",
    now,
    published: {
      ...nothingPublished,
      credential: { key: leaf.key, chain: [leaf.certificate], bundle },
      bundle,
    },
    publishedRejection: undefined,
    roots: [{ fingerprint, notAfter: rootNotAfter, state: "active" }],
    remarks: [],
    revocation: undefined,
    renewalTime: undefined,
    lastRotationTime: undefined,
    lastRenewRequest: undefined,
    received: true,
    rejection: undefined,
    sourceError: undefined,
    connection: undefined,
    storeError: undefined,
    uses: [],
    conflicts: [],
    served: undefined,
  };
}

it("Ready is False once every root has expired, however long the leaf lasts", async () => {
  const ready = async (rootNotAfter: string) => {
    const { conditions } = statusOf(await findings(new Date(rootNotAfter)), undefined);
    return conditions.find(({ type }) => type === "Ready");
  };
  expect(await ready("2026-06-01T12:00:01Z")).toMatchObject({ status: "True", reason: "Valid" });
  expect(await ready("2026-06-01T12:00:00Z")).toMatchObject({ status: "False", reason: "RootsExpired" });
});

it("SourceReady names at most three roots that have problems", async () => {
  const remarks = Array.from({ length: 5 }, (_, index) => {
    return { fingerprint: `${index}`, reason: "UnusableKey", message: `Root ${index}.` } as const;
  });
  const found = { ...(await findings(new Date("2027-01-01T00:00:00Z"))), remarks };
  const { conditions } = statusOf(found, undefined);
  expect(conditions.find(({ type }) => type === "SourceReady")?.message).toBe(
    'The mesh "consul" provides certificates. Root 0. Root 1. Root 2. 2 more roots have problems.',
  );
  expect(statusOf(found, undefined).rootProblems).toEqual(remarks);
});

it("Protected is False while a cluster is seen without a client certificate, whatever the objects say", async () => {
  const served = {
    status: "False",
    reason: "Exposed",
    message: "Requests leave NOW.",
    isPending: true,
  } as const;
  const use = { kind: "Mapping", namespace: "edge", name: "web" } as const;
  for (const uses of [[], [use], [{ ...use, exposure: "unverified" } as const]]) {
    const found = { ...(await findings(new Date("2027-01-01T00:00:00Z"))), uses, served };
    const { conditions } = statusOf(found, undefined);
    expect(conditions.find(({ type }) => type === "Protected")).toMatchObject({
      ...{ status: "False", reason: "Exposed", message: "Requests leave NOW." },
    });
  }
});

it("Ready is False for an identity that may not be renewed any more, and says whose it was", async () => {
  const found = await findings(new Date("2027-01-01T00:00:00Z"));
  const sourceError = new MeshError("ATTACHE_MESH_UNKNOWN", 'no mesh "consul" is configured');
  const readyOf = (one: Findings) => statusOf(one, undefined).conditions.find(({ type }) => type === "Ready");
  expect(readyOf(found)).toMatchObject({ status: "True" });
  const outage = new MeshError("ATTACHE_MESH_UNREACHABLE", "no answer");
  expect(readyOf({ ...found, sourceError: outage })).toMatchObject({ status: "True" });
  expect(readyOf({ ...found, sourceError })).toMatchObject({ status: "False", reason: "Orphaned" });
  expect(readyOf({ ...found, published: nothingPublished, sourceError })).toMatchObject({
    reason: "NotPublished",
  });
  const [uri = ""] = found.published.credential?.chain[0].uris ?? [];
  const refused = (expected: string) =>
    readyOf({ ...found, sourceError: new NotAllowedError("no rule", {}, parseSpiffeIdPattern(expected)) });
  expect(refused(uri)).toMatchObject({ reason: "Orphaned" });
  // What is published was granted, and a changed spec asks for another identity.
  expect(refused(`${uri}/other`)).toMatchObject({ status: "True" });
  expect(statusOf(found, undefined).servedBy).toBe("emissary/attache");
});
