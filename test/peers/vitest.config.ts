import { defineConfig } from "vitest/config";

/**
 * `npm run test:peers`: attaché against real control planes, openssl and a real Envoy; see README.md beside
 * this file and in test/e2e.
 */
export default defineConfig({
  resolve: { conditions: ["development"] },
  test: {
    root: `${import.meta.dirname}/../..`,
    include: ["test/{peers,e2e}/**/*.test.ts"],
    // `npm run test:node`.
    exclude: ["test/peers/node/**"],
    globalSetup: "test/peers/setup.ts",
    // Waits for as long as the test may take, where a test does not say how long.
    setupFiles: ["test/fixtures/setup.ts"],
    testTimeout: 90_000,
    hookTimeout: 90_000,
    expect: { poll: { timeout: 60_000, interval: 50 } },
    // Most of them wait for leaves to end and servers to come back, and not for a processor.
    maxWorkers: 2,
  },
});
