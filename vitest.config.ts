import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["development"] },
  test: {
    include: ["{src,adapters,deploy,test}/**/*.test.ts"],
    exclude: ["test/{peers,e2e}/**", "**/node_modules/**"],
    testTimeout: 60_000,
    // Much of it waits: for the demo, for processes, for disks.
    maxWorkers: 4,
    // Half of the time went into importing the same modules for each file anew; no test mocks a module.
    isolate: false,
  },
});
