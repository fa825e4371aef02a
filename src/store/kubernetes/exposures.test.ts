import { describe, expect, it } from "vitest";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { type Consumer, consumerOf } from "../../emissary/consumer.ts";
import { type Exposure, observedExposure } from "../../emissary/exposure.ts";
import { type TlsContext, tlsContextOf } from "../../emissary/tls-context.ts";
import { Exposures } from "./exposures.ts";

function mapping(name: string, tls: string): Consumer {
  const found = consumerOf("Mapping", { metadata: { namespace: "edge", name }, spec: { tls } });
  if (found === undefined) throw new Error("names no context");
  return found;
}

const context = tlsContextOf({
  metadata: { namespace: "emissary", name: "storefront" },
  spec: { secret: "leaf", ca_secret: "ca" },
});

function watch() {
  const clock = manualClock("2026-01-01T00:00:00Z");
  const world = {
    consumers: undefined as Consumer[] | undefined,
    contexts: [] as TlsContext[],
    because: undefined as string | undefined,
  };
  const seen: Exposure[] = [];
  const changed: string[] = [];
  const exposures = new Exposures({
    consumers: () => world.consumers,
    contexts: () => world.contexts,
    facts: { unsoundness: () => world.because, publishers: () => new Map() },
    onExposed: (exposure) => seen.push(exposure),
    onChange: (name) => changed.push(name),
    clock,
  });
  return { clock, world, seen, changed, exposures };
}

describe("who is exposed", () => {
  it("is none as long as not everything is known", async () => {
    const { clock, seen, exposures } = watch();
    using _ = exposures;
    exposures.changed();
    await clock.advance(10_000);
    expect(seen).toEqual([]);
  });

  it("is reported once, and again when it becomes another exposure, or time alone makes it one", async () => {
    const { clock, world, seen, changed, exposures } = watch();
    using _ = exposures;
    world.consumers = [mapping("web", "storefront")];
    exposures.changed();
    await clock.advance(2_000);
    expect(seen.map(({ reason }) => reason)).toEqual(["ContextMissing"]);
    expect(exposures.of({ kind: "Mapping", namespace: "edge", name: "web" })?.severity).toBe("plaintext");

    exposures.changed();
    await clock.advance(2_000);
    expect(seen).toHaveLength(1);

    world.contexts = [context];
    exposures.changed();
    await clock.advance(2_000);
    expect(exposures.current).toEqual([]);
    expect(changed).toEqual(["storefront", "storefront"]);

    exposures.observe({ exposures: [observedExposure(mapping("web", "storefront"))], kept: new Set() });
    await clock.advance(2_000);
    expect(exposures.current).toMatchObject([{ severity: "plaintext", reason: "Exposed" }]);
    exposures.observe({ exposures: [], kept: new Set() });
    await clock.advance(2_000);
    expect(exposures.current).toEqual([]);
    seen.pop();

    world.because = "its leaf has expired";
    await clock.advance(60_000);
    expect(seen.map(({ reason }) => reason)).toEqual(["ContextMissing", "ContextUnsound"]);
  });

  it("is reported for the context that a consumer named before, and for the one that it names now", async () => {
    const { clock, world, changed, exposures } = watch();
    using _ = exposures;
    world.contexts = [context];
    world.consumers = [mapping("web", "former")];
    exposures.changed();
    await clock.advance(2_000);
    expect(changed.splice(0)).toEqual(["former"]);
    world.consumers = [mapping("web", "storefront")];
    exposures.changed();
    await clock.advance(2_000);
    expect(exposures.current).toEqual([]);
    expect(changed.splice(0)).toEqual(["former", "storefront"]);
    world.consumers = [mapping("web", "former")];
    exposures.changed();
    await clock.advance(2_000);
    world.consumers = [mapping("web", "other")];
    exposures.changed();
    await clock.advance(2_000);
    expect(changed).toEqual(["former", "other", "former"]);
  });

  it("is not who a frozen Envoy keeps protected, whatever the objects say, until it is not kept any more", async () => {
    const { clock, world, seen, exposures } = watch();
    using _ = exposures;
    world.consumers = [mapping("web", "storefront")];
    exposures.observe({ exposures: [], kept: new Set(["Mapping edge/web"]) });
    await clock.advance(60_000);
    expect([seen, exposures.current]).toEqual([[], []]);
    exposures.observe({ exposures: [], kept: new Set() });
    expect(seen.map(({ reason }) => reason)).toEqual(["ContextMissing"]);
  });
});
