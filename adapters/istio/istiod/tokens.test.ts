import { describe, expect, it, vi } from "vitest";
import type { ServiceAccountToken, TokenRequest } from "../../../src/mesh/adapter.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { Tokens } from "./tokens.ts";

const { signal } = new AbortController();

describe("the tokens of a ServiceAccount", () => {
  it("are minted for the audience, with the shortest life that the API server gives", async () => {
    const { tokens, mint } = setUp();
    await tokens.get(signal);
    expect(mint).toHaveBeenCalledExactlyOnceWith({
      serviceAccount: "edge",
      audiences: ["istio-ca"],
      expirationSeconds: 600,
      signal,
    });
  });

  it("are used until a minute before their end, and no longer", async () => {
    const { tokens, mint, clock } = setUp();
    expect(await tokens.get(signal)).toBe("token 1");
    await clock.advance(539_000);
    expect(await tokens.get(signal)).toBe("token 1");
    await clock.advance(1_000);
    expect(await tokens.get(signal)).toBe("token 2");
    expect(mint).toHaveBeenCalledTimes(2);
  });

  it("are minted again when the last one was refused", async () => {
    const { tokens } = setUp();
    await tokens.get(signal);
    tokens.forget();
    expect(await tokens.get(signal)).toBe("token 2");
  });
});

function setUp() {
  const clock = manualClock();
  let count = 0;
  const mint = vi.fn(({ expirationSeconds }: TokenRequest): Promise<ServiceAccountToken> => {
    count += 1;
    const expiresAt = new Date(clock.now().getTime() + expirationSeconds * 1000);
    return Promise.resolve({ token: `token ${count}`, expiresAt });
  });
  return { clock, mint, tokens: new Tokens({ serviceAccount: "edge", audience: "istio-ca", mint, clock }) };
}
