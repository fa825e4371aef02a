import { describe, expect, it } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { type Expected, type Ingress, notConfigured, type Served } from "../ingress/ingress.ts";
import type { IdentityKey } from "../api/mesh-certificate.ts";

const waiting: Served = { status: "Unknown", reason: "Waiting", message: "Waiting.", isPending: true };
const served: Served = { status: "True", reason: "Served", message: "1 of 1 pods.", isPending: false };

/** An ingress that says what the test has it say. */
function sayingIngress(): Ingress & { say(said: Served): void; expected: Expected[]; forgotten: number } {
  let said = waiting;
  const listeners = new Set<(key: IdentityKey) => void>();
  const ingress = {
    expected: [] as Expected[],
    forgotten: 0,
    say(next: Served) {
      said = next;
      for (const listener of listeners) listener("emissary/storefront");
    },
    expect: (_: unknown, target: Expected) => void ingress.expected.push(target),
    forget: () => void (ingress.forgotten += 1),
    servedOf: () => said,
    onChange(listener: (key: IdentityKey) => void) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return ingress;
}

async function started() {
  const ingress = sayingIngress();
  const run = await startReconciliation({ ingress });
  run.store.put(identity());
  await run.until("Ready", "True/Valid");
  return { run, ingress };
}

describe("the condition Served", () => {
  it("is what the ingress says, and Ready does not depend on it", async () => {
    const { run, ingress } = await started();
    await using _run = run;
    await run.until("Served", "Unknown/Waiting");
    ingress.say({ ...served, status: "False", reason: "NotTaken" });
    await run.until("Served", "False/NotTaken");
    expect(run.status()?.conditions.find(({ type }) => type === "Ready")?.status).toBe("True");
    ingress.say(served);
    await run.until("Served", "True/Served");
  });

  it("is reported of what was published, once the ingress knows that it is written", async () => {
    const { run, ingress } = await started();
    await using _run = run;
    const [first] = ingress.expected;
    expect(first?.isWritten).toBe(true);
    expect(first?.leafNotAfter.toISOString()).toBe(run.status()?.notAfter);
    expect(first?.rootNotAfter.toISOString()).toBe(run.status()?.roots?.[0]?.notAfter);
    ingress.say(served);
    await run.until("Served", "True/Served");
    expect(ingress.expected.at(-1)).toEqual({ ...first, isWritten: false });
  });

  it("stays as it was over a restart, until the ingress is heard", async () => {
    const { run, ingress } = await started();
    await using _run = run;
    ingress.say(served);
    await run.until("Served", "True/Served");
    ingress.say(waiting);
    const { length } = ingress.expected;
    await run.restart();
    await run.until("Ready", "True/Valid");
    expect(ingress.forgotten).toBeGreaterThan(0);
    expect(ingress.expected.slice(length).some(({ isWritten }) => isWritten)).toBe(false);
    await run.until("Served", "True/Served");
  });

  it("is Unknown where no ingress is configured, and absent where there can be none", async () => {
    const { run, ingress } = await started();
    await using _run = run;
    ingress.say(notConfigured);
    await run.until("Served", "Unknown/NotConfigured");
    await using without = await startReconciliation();
    without.store.put(identity());
    await without.until("Ready", "True/Valid");
    expect(without.status()?.conditions.some(({ type }) => type === "Served")).toBe(false);
  });
});
