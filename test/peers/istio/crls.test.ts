import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { Credential } from "../../../src/mesh/adapter.ts";
import { createCrl, crlPem } from "../../fixtures/crl.ts";
import { watchOptions } from "../../fixtures/watch-options.ts";
import { type Bearer, prepareBearer } from "./bearer.ts";
import { type Istiod, startIstiod } from "./istiod.ts";
import { connect } from "./mesh.ts";
import type { PluggedCa } from "./plugged-ca.ts";

let istiod: Istiod;
let bearer: Bearer;
let ca: PluggedCa;

beforeAll(async () => {
  istiod = await startIstiod();
  bearer = await prepareBearer(istiod.cluster);
  ca = istiod.cas[0] ?? expect.unreachable();
});

afterAll(() => istiod[Symbol.asyncDispose]());

it("the revocation lists of a plugged-in CA come from the ConfigMap that istiod writes, and follow it", async () => {
  const over = new AbortController();
  await using mesh = await connect(
    { mode: "istiod", address: `127.0.0.1:${istiod.port}` },
    { cluster: bearer.cluster },
  );
  const seen: Credential[] = [];
  const options = { ...watchOptions(over.signal), serviceAccountToken: bearer.mint };
  const watching = (async () => {
    for await (const credential of mesh.watch({ serviceAccount: "edge" }, options)) seen.push(credential);
  })().catch((error: unknown) => {
    if (!over.signal.aborted) throw error;
  });
  await vi.waitFor(() => expect(seen).not.toEqual([]), 60_000);
  // istiod writes an empty list where its CA has none.
  expect(seen.map(({ crls }) => crls)).toEqual([undefined]);
  const [leaf] = seen[0]?.chain ?? [];
  if (leaf === undefined) expect.unreachable();
  const ofRoot = crlPem(createCrl(ca.root));
  for (const revoked of [[], [leaf]]) {
    await istiod.revoke(ofRoot + crlPem(createCrl(ca.intermediate, { revoked })));
    await vi.waitFor(() => {
      const lists = seen.at(-1)?.crls?.lists ?? [];
      const of = ({ certificate }: PluggedCa["root"]) => lists.find((list) => list.isOf(certificate));
      expect(of(ca.root)?.revokes(leaf)).toBe(false);
      expect(of(ca.intermediate)?.revokes(leaf)).toBe(revoked.length > 0);
    }, 60_000);
  }
  expect(seen.every(({ chain }) => chain[0] === leaf)).toBe(true);
  over.abort();
  await watching;
});
