import { describe, expect, it } from "vitest";
import { isSuccess, type Summary, summaryText } from "./summary.ts";

const summary: Summary = {
  seconds: 64,
  identities: 3,
  rotations: 18,
  rootRotations: 2,
  kills: 0,
  requests: 1262,
  failed: 0,
  reasons: [],
  writes: 32,
  noopWrites: 0,
  directory: "/tmp/demo/published",
};

describe("a run of the demo", () => {
  it.each([
    ["all requests went well", {}, true],
    ["one failed", { failed: 1 }, false],
    ["there was none", { requests: 0 }, false],
  ])("counts by whether %s", (_, part, expected) => {
    expect(isSuccess({ ...summary, ...part })).toBe(expected);
  });

  it("is summed up with where its files are", () => {
    expect(summaryText(summary)).toBe(
      [
        "No request failed in 64 s: 1262 requests, each with a TLS handshake of its own,",
        "through 18 rotations of 3 leaves and 2 of the meshes' roots.",
        "32 files written, none redundant.",
        "",
        "The published files:  /tmp/demo/published",
        "The settings:         /tmp/demo/attache.yaml",
        "",
      ].join("\n"),
    );
  });

  it("says how to keep the files where they went with it", () => {
    const { directory: _, ...rest } = summary;
    expect(summaryText(rest)).toContain("Keep the published files and the settings with --directory PATH.");
  });

  it("says what failed, and why", () => {
    const text = summaryText({ ...summary, failed: 2, reasons: ["socket hang up"], kills: 1 });
    expect(text).toContain("2 REQUESTS FAILED in 64 s");
    expect(text).toContain("with a mesh killed 1 time.");
    expect(text).toContain("  failed: socket hang up");
  });
});
