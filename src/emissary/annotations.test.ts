import { describe, expect, it } from "vitest";
import { annotatedResources, readAnnotated } from "./annotations.ts";

const annotated = (text: string) => ({
  metadata: { namespace: "shop", annotations: { "getambassador.io/config": text } },
});

describe("an annotation of many documents", () => {
  it.each([
    ["small", "---\nkind: Mapping\nname: x\n", 2_000, 2_000],
    ["empty", "---\n", 20_000, 0],
    ["of one scalar", "---\na\n", 10_000, 10_000],
  ])("that are %s is read in steps, and whole", (_, document, count, resources) => {
    const object = annotated(document.repeat(count));
    const steps = readAnnotated(object);
    let taken = 0;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) taken += 1;
    expect(taken).toBeGreaterThan(25);
    expect(step.value).toHaveLength(resources);
    expect(annotatedResources(object)).toEqual(step.value);
  });

  it("that is no YAML has no resources", () => {
    expect(annotatedResources(annotated("---\nkind: Mapping\n---\n[\n"))).toEqual([]);
  });
});
