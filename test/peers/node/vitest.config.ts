import { defineConfig } from "vitest/config";

/** `npm run test:node`: attaché's image and chart on a real node of Kubernetes; see README.md in the folder above. */
export default defineConfig({
  resolve: { conditions: ["development"] },
  test: {
    root: `${import.meta.dirname}/../../..`,
    include: ["test/peers/node/**/*.test.ts"],
    globalSetup: "test/peers/node/setup.ts",
    setupFiles: ["test/fixtures/setup.ts"],
    // Pods start meanwhile, on a machine that may be busy.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 120_000, interval: 200 } },
    // All files share one node.
    fileParallelism: false,
  },
});
