import { describe, expect, it } from "vitest";
import { z } from "zod";
import { explain } from "./explain.ts";

const modes = z.discriminatedUnion("mode", [
  z.strictObject({ mode: z.literal("near").default("near"), socket: z.string().optional() }),
  z.strictObject({
    mode: z.literal("far"),
    address: z.string().optional(),
    roots: z.strictObject({ file: z.string().optional() }).optional(),
  }),
]);

describe("a key that a schema of several modes does not know", () => {
  it.each([
    [{ sockt: "/s" }, 'sockt: unknown key; did you mean "socket"?'],
    [{ mode: "near", key: 1 }, "key: unknown key; known here: mode, socket"],
    [{ mode: "far", key: 1 }, "key: unknown key; known here: mode, address, roots"],
    [{ address: "a" }, 'address: belongs to "mode: far"'],
    [{ mode: "far", socket: "/s" }, 'socket: belongs to "mode: near"'],
    [{ mode: "far", roots: { fil: "f" } }, 'roots.fil: unknown key; did you mean "file"?'],
  ])("%j is explained by the mode that was meant", (input, message) => {
    expect(explained(input)).toEqual([message]);
  });
});

function explained(input: unknown): string[] {
  const { error } = modes.safeParse(input, { reportInput: true });
  return explain(error?.issues ?? [], modes, () => "").map((one) => `${one.path}: ${one.message}`);
}
