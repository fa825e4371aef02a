import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { asOpenMetrics, contentTypes, formatFor } from "./metrics.ts";

describe("the format", () => {
  it.each([
    [
      "Prometheus",
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
      "openmetrics",
    ],
    ["a browser", "text/html,*/*;q=0.8", "prometheus"],
    ["curl", "*/*", "prometheus"],
    ["who does not say", undefined, "prometheus"],
  ] as const)("for %s is what it asks for", (_who, accept, format) => {
    expect(formatFor(accept)).toBe(format);
  });

  it("has the media types that prom-client knows", () => {
    expect(contentTypes).toEqual({
      prometheus: Registry.PROMETHEUS_CONTENT_TYPE,
      openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
    });
  });
});

describe("text in the format of Prometheus", () => {
  function fill(registry: Registry): Registry {
    const registers = [registry];
    new Counter({ name: "a_total", help: "Counts a.", labelNames: ["of"], registers }).inc(
      { of: 'quote " and _total counter' },
      2,
    );
    new Counter({ name: "b_total", help: "Counts b_total and more.", registers });
    new Gauge({ name: "c_total", help: "A gauge that is named like a counter.", registers }).set(1);
    new Histogram({
      name: "d_seconds",
      help: "Seconds.",
      labelNames: ["of"],
      registers,
      buckets: [0.1, 1],
    }).observe({ of: "x" }, 0.5);
    return registry;
  }

  it("becomes what prom-client writes as OpenMetrics", async () => {
    const openMetrics = new Registry();
    openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
    const text = asOpenMetrics(await fill(new Registry()).metrics());
    expect(`${text}# EOF\n`).toBe(await fill(openMetrics).metrics());
  });
});
