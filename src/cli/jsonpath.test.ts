import { describe, expect, it } from "vitest";
import { jsonPath } from "./jsonpath.ts";

const data = {
  kind: "List",
  items: [
    {
      metadata: { name: "a", annotations: { "attache.dev/renew": "1" } },
      status: {
        conditions: [{ type: "Ready", status: "True" }],
        roots: [{ age: 1 }, { age: 2 }, { age: 3 }],
      },
    },
    { metadata: { name: "b" }, status: { conditions: [{ type: "Ready", status: "False" }] } },
  ],
};

describe("a template of jsonpath prints what kubectl prints", () => {
  it.each([
    ["{.kind}", "List"],
    ["kind: {$.kind}!", "kind: List!"],
    ["{.items[*].metadata.name}", "a b"],
    ["{.items[0]['metadata'].name}", "a"],
    ["{.items[-1].metadata.name}", "b"],
    ["{.items[7].metadata.name}", ""],
    ["{.items[0,1].metadata.name}", "a b"],
    ["{.items[0].status.roots[0:2].age}", "1 2"],
    ["{.items[0].status.roots[::2].age}", "1 3"],
    ["{.items[0].status.roots[?(@.age>=2)].age}", "2 3"],
    ['{.items[?(@.metadata.name=="b")].status.conditions[0].status}', "False"],
    ["{.items[0].metadata.annotations.attache\\.dev/renew}", "1"],
    ["{.items[0].metadata['annotations']}", '{"attache.dev/renew":"1"}'],
    ["{..name}", "a b"],
    ["{.items[?(@.metadata.annotations)].metadata.name}", "a"],
    [
      '{range .items[*]}{.metadata.name}{"\\t"}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}',
      "a\tTrue\nb\tFalse\n",
    ],
    ["{range .items[*]}{range .status.conditions[*]}{.type}{end},{end}", "Ready,Ready,"],
    ["{.missing.too}", ""],
  ])("%s", (template, text) => {
    expect(jsonPath(template)(data)).toBe(text);
  });

  it.each([
    ["", "it has no {…}, at its end"],
    [".items", "it has no {…}"],
    ["{.items", "} is missing, at its end"],
    ["{.items[0}", '] is missing, before "}"'],
    ["{range .items[*]}{.kind}", "{end} is missing, at its end"],
    ["{.kind}{end}", "{end} has no {range …}"],
    ["{items}", 'a path begins with . or [, before "items}"'],
    ["{.items[?(@.a==1 && @.b==2)]}", ')] is missing, before " && @.b==2)]}"'],
    ["{.items[(@.length-1)]}", "a name, a number, a slice or * is missing"],
    ["{.items[]}", "a name, a number, a slice or * is missing"],
  ])("%s is refused: %s", (template, problem) => {
    expect(() => jsonPath(template)).toThrow(problem);
  });
});
