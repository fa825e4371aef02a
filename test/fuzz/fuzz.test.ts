import { randomInt } from "node:crypto";
import { describe, expect, it } from "vitest";
import { seeded } from "../fixtures/der-mutants.ts";
import { faultOf, inputFor } from "./run.ts";
import { targets } from "./targets.ts";

/** Which load a library of their own, or write a file for each input: `npm run fuzz` has them. */
const slow: ReadonlySet<string> = new Set(["kubeconfig", "exec-credential", "settings"]);

describe(
  "a parser of bytes from outside throws only declared errors, and within its time",
  { tags: ["search"] },
  () => {
    it.each(Object.entries(targets).filter(([name]) => !slow.has(name)))("%s", async (_, target) => {
      const seed = randomInt(2 ** 31);
      const draw = seeded(seed);
      for (const sample of target.samples)
        expect(await faultOf(target, Buffer.from(sample), draw)).toBeUndefined();
      for (let left = 10; left > 0; left -= 1) {
        expect(await faultOf(target, inputFor(target, draw), draw), `seed ${seed}`).toBeUndefined();
      }
    });
  },
);
