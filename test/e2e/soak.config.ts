import { defineConfig } from "vitest/config";

/** `npm run soak`: the proof, for as long as it was promised to hold; see docs/benchmarks.md. */
export default defineConfig({
  resolve: { conditions: ["development"] },
  test: {
    root: `${import.meta.dirname}/../..`,
    include: ["test/e2e/soak.ts"],
    globalSetup: "test/peers/setup.ts",
    testTimeout: 900_000,
  },
});
