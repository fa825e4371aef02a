import { defineConfig } from "vitest/config";

/** `npm run test:peers`: attaché against real control planes, and openssl; see README.md beside this file. */
export default defineConfig({
  resolve: { conditions: ["development"] },
  test: {
    root: `${import.meta.dirname}/../..`,
    include: ["test/peers/**/*.test.ts"],
    globalSetup: "test/peers/setup.ts",
    testTimeout: 90_000,
    hookTimeout: 90_000,
  },
});
