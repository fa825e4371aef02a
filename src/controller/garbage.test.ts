import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { cases } from "../../test/fixtures/cases.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { ownershipAnnotations } from "../render/marks.ts";

const bytes = fc.oneof(
  fc.base64String({ maxLength: 400 }),
  fc.string({ maxLength: 400 }),
  fc.constant(""),
  fc.constant(Buffer.alloc(200_000, "A").toString("base64")),
  fc
    .constantFrom("CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY")
    .map((label) => pem(`-----BEGIN ${label}-----\nMIIB\n-----END ${label}-----\n`)),
);
const damage = fc.record({
  object: fc.constantFrom(
    "Secret/storefront-mesh-cert",
    "Secret/storefront-mesh-ca",
    "TLSContext/storefront",
  ),
  key: fc.constantFrom("tls.crt", "tls.key"),
  content: bytes,
  roots: fc.option(fc.string({ maxLength: 100 }), { nil: undefined }),
});

describe("whatever lies in what is published", { tags: ["search"] }, () => {
  it.each(["at the start", "while it runs"])(
    "%s, the mesh is watched, and all is published again",
    async (when) => {
      await using run = await startReconciliation();
      run.store.put(identity());
      await run.until("SourceReady", "True/Received");
      const sound = structuredClone(contents(run));
      await fc.assert(
        fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async (damages) => {
          for (const one of damages) spoil(run, one);
          if (when === "at the start") await run.restart();
          else run.store.drift("emissary/storefront");
          await run.until("Ready", "True/Valid");
          await vi.waitFor(() => expect(contents(run)).toEqual(sound));
          await run.mesh.rotate("storefront");
          await vi.waitFor(() => expect(contents(run)).not.toEqual(sound));
          await run.until("SourceReady", "True/Received");
          Object.assign(sound, structuredClone(contents(run)));
        }),
        { numRuns: cases(8, 200) },
      );
    },
  );
});

function spoil(
  { store }: Reconciliation,
  { object, key, content, roots }: typeof damage extends fc.Arbitrary<infer T> ? T : never,
): void {
  const id = `emissary/${object}`;
  const before = store.objects.get(id);
  if (before === undefined) return;
  const annotations = {
    ...before.metadata.annotations,
    ...(roots !== undefined && { [ownershipAnnotations.roots]: roots }),
  };
  const metadata = { ...before.metadata, annotations };
  const spoilt =
    before.kind === "Secret"
      ? { ...before, metadata, data: { ...before.data, [key]: content } }
      : { ...before, metadata, spec: { ...before.spec, secret: content } };
  store.objects.set(id, spoilt);
}

function contents({ store }: Reconciliation): Record<string, unknown> {
  return Object.fromEntries(
    Array.from(store.objects, ([id, one]) => [id, one.kind === "Secret" ? one.data : one.spec]),
  );
}

function pem(text: string): string {
  return Buffer.from(text).toString("base64");
}
