import { describe, expect, it } from "vitest";
import { IngressController, type IngressControllerPorts } from "../../src/ingress/controller.ts";
import type { Ingress } from "../../src/ingress/ingress.ts";
import { cases } from "../fixtures/cases.ts";
import { createPool } from "./credentials.ts";
import { check } from "./world.ts";

const pool = await createPool(4);
const options = { pool, from: "what is published", hasIngress: true } as const;

/** What a Mapping that changes in each snapshot, or in each second one, does to Emissary. */
const churning = { changesMapping: () => true, revertsAnnotations: false };
const halfChurning = { changesMapping: (snapshot: number) => snapshot % 2 === 0, revertsAnnotations: false };
const reverting = { ...churning, revertsAnnotations: true };
const rotations = ["the leaf rotates", "the root rotates"] as const;

describe("whatever an ingress has lost", { tags: ["search"] }, () => {
  it("it serves what is published once it is quiet, and rejects no upstream of the published root meanwhile", async () => {
    const only = ["the leaf rotates", "the root rotates", "a Mapping changes"] as const;
    const events = cases(1, 2);
    expect((await check(options, { events, faults: 0, only })).runs).toBeGreaterThan(events === 1 ? 5 : 50);
  });

  it.each([
    ["while a Mapping changes in each snapshot", churning],
    ["while one changes in each second snapshot", halfChurning],
    ["while one changes in each, and another client removes the annotations", reverting],
  ])("it serves what is published also %s", async (_, environment) => {
    const restless = { ...options, environment, touchMappings: true };
    const { runs } = await check(restless, { events: cases(1, 2), faults: 0, only: rotations });
    expect(runs).toBeGreaterThan(cases(1, 10));
  });
});

describe("a leaf stays that a former leader writes late", { tags: ["search"] }, () => {
  it("after a rotation of the leaf and one of the root", { tags: ["thorough"] }, async () => {
    const bounds = { first: "the leaf rotates", events: 1, faults: 1, only: ["the root rotates"] } as const;
    expect((await check(options, bounds)).runs).toBeGreaterThan(10);
  });

  it("after any two rotations", { tags: ["thorough"] }, async () => {
    const { runs } = await check(options, { events: 2, faults: 1, only: rotations });
    expect(runs).toBeGreaterThan(200);
  });
});

/** What the model is there to find. */
describe("it is found out", { tags: ["search"] }, () => {
  it("when the context is never touched: a lost rotation stays lost", async () => {
    const spoilIngress = (ports: IngressControllerPorts): Ingress => {
      ports.store.nudge = () => Promise.resolve();
      return new IngressController(ports);
    };
    const only = ["the leaf rotates", "a Mapping changes"] as const;
    const unhealed = check({ ...options, spoilIngress }, { events: 2, faults: 0, only });
    await expect(unhealed).rejects.toThrow("the ingress has not taken what is published");
  });

  it("when Mappings are not touched, and one changes in each snapshot", async () => {
    const starved = check({ ...options, environment: churning }, { events: 1, faults: 0, only: rotations });
    await expect(starved).rejects.toThrow("the ingress has not taken what is published");
  });

  it("when a new leaf does not wait for its root", async () => {
    const spoilIngress = (ports: IngressControllerPorts): Ingress => {
      const ingress = new IngressController(ports);
      const servedOf = ingress.servedOf.bind(ingress);
      ingress.servedOf = (identity) => ({ ...servedOf(identity), isPending: false });
      return ingress;
    };
    const hasty = check({ ...options, spoilIngress }, { events: 1, faults: 0, only: ["the root rotates"] });
    await expect(hasty).rejects.toThrow("is published while a cluster rejects upstreams of that root");
  });
});
