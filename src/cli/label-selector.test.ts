import { expect, it } from "vitest";
import { labelSelector } from "./label-selector.ts";

const edge = { team: "edge", "app.kubernetes.io/name": "web", empty: "" };

it.each([
  ["team=edge", true],
  ["team==edge", true],
  ["team=shop", false],
  ["team!=shop", true],
  ["other!=shop", true],
  ["team", true],
  ["other", false],
  ["!other", true],
  ["!team", false],
  ["empty=", true],
  ["other=", false],
  ["team in (shop, edge)", true],
  ["team notin (shop,edge)", false],
  ["other notin (shop)", true],
  ["team in (shop, edge),app.kubernetes.io/name=web , !other", true],
  ["team=edge,app.kubernetes.io/name=api", false],
])("%s selects as the API server does: %j", (text, selects) => {
  expect(labelSelector(text)(edge)).toBe(selects);
});

it.each(["", "team=a=b", "!team=edge", "team in edge", "team edge", "team,"])("refuses %j", (text) => {
  expect(() => labelSelector(text)).toThrow("is no requirement of labels");
});
