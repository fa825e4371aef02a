import type { KeyObject } from "node:crypto";
import type { Certificate } from "../../src/credentials/certificate.ts";
import { createLeaf, createRoot } from "../fixtures/pki.ts";

export const spiffeId = "spiffe://model.example/edge";

/** All that the mesh of a model can issue, made once. */
export interface Pool {
  readonly roots: readonly Certificate[];
  readonly leaves: readonly Leaf[];
}

/** One that may be issued as the `index`th, if `root` signs then. */
export interface Leaf {
  readonly index: number;
  readonly root: number;
  readonly key: KeyObject;
  readonly certificate: Certificate;
}

/** @param count of roots, and of leaves in one run. */
export async function createPool(count: number): Promise<Pool> {
  const numbers = Array.from({ length: count }, (_, index) => index);
  const roots = await Promise.all(numbers.map((index) => createRoot({ notAfter: ending(2040, index) })));
  const leaves = numbers.flatMap((index) =>
    roots.slice(0, index + 1).map(async (issuer, root): Promise<Leaf> => {
      const { key, certificate } = await createLeaf(issuer, {
        uris: [spiffeId],
        notAfter: ending(2030, index),
      });
      return { index, root, key, certificate };
    }),
  );
  return { roots: roots.map(({ certificate }) => certificate), leaves: await Promise.all(leaves) };
}

/** Each ends at a second of its own, as Envoy reports nothing else about it. */
function ending(year: number, index: number): Date {
  return new Date(Date.UTC(year, 0, 1, 0, 0, index));
}
