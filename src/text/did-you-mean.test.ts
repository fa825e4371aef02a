import { describe, expect, it } from "vitest";
import { didYouMean } from "./did-you-mean.ts";

describe("a word that is not known", () => {
  it.each([
    ["consol", "consul"],
    ["cnosul", "consul"],
    ["consull", "consul"],
    ["isto", "istio"],
    ["itsio", "istio"],
  ])("%s is probably %s", (word, meant) => {
    expect(didYouMean(word, ["consul", "istio"])).toBe(meant);
  });

  it.each(["@acme/attache-nomad", "linkerd", "is", ""])("%j is nothing else", (word) => {
    expect(didYouMean(word, ["consul", "istio"])).toBeUndefined();
  });

  it("is the nearest of several", () => {
    expect(didYouMean("settingz", ["sittings", "settings"])).toBe("settings");
  });
});
