import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { declared } from "../../../test/fixtures/directory.ts";
import { manifestOf, readDocument, writeManifest } from "./manifest-file.ts";

const words = [
  "y",
  "on",
  "no",
  "~",
  "012",
  "0o14",
  "1_000",
  "1e3",
  "1:20",
  "0x1f",
  "2026-01-01",
  "=",
  "<<",
  "a: b",
  "#",
];
const labels = Object.fromEntries(words.map((word) => [word, word]));
const identity = declared();
const { spec } = identity;
// More than Kubernetes takes for labels, as what is written is not only labels.
const target = targetOf({ ...identity, spec: { ...spec, target: { ...spec.target, labels } } }, "1");

describe("a manifest's file", () => {
  it("says the same to kubectl, which reads YAML 1.1, as to us", () => {
    for (const manifest of target) {
      const text = writeManifest(manifest);
      expect(parse(text, { version: "1.1" })).toEqual(manifest);
      expect(readDocument(text)?.value).toEqual(manifest);
      expect(manifestOf(readDocument(text)?.value)).toEqual(manifest);
    }
  });

  it("has one line a value, however long", () => {
    const [, leaf] = target;
    if (leaf.kind !== "Secret") throw new Error("a Secret");
    const long = "A".repeat(10_000);
    const text = writeManifest({ ...leaf, data: { ...leaf.data, "tls.crt": long } });
    expect(text.split("\n")).toContain(`  tls.crt: ${long}`);
  });

  it("is read as far as others have not damaged it", () => {
    const [ca] = target;
    expect(manifestOf({ ...ca, immutable: true })).toEqual(ca);
    expect(manifestOf({ ...ca, data: "gone" })).toBeUndefined();
    for (const text of ["a: [", "a: &a [*a]", "a: &a {}\nb: *a"]) expect(readDocument(text)).toBeUndefined();
  });
});
