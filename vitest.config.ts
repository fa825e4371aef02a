import { join } from "node:path";
import { defineConfig } from "vitest/config";

// Node keeps what it has stripped of types and compiled: for the workers here, and for the processes that tests start.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules/.cache/compile");

/** In `npm run test:search`. */
const isThorough = process.env["ATTACHE_TEST_SEARCH"] === "thorough";

/** @param without the tags of tests that are left out. */
const tags = (...without: readonly string[]) =>
  [
    {
      name: "process",
      description: "starts processes, each of which loads everything again",
      timeout: 60_000,
    },
    { name: "realtime", description: "lives by the machine's clock for seconds", timeout: 60_000 },
    {
      name: "search",
      description: "tries many inputs, or many orders of events",
      // All of them in `npm run test:search`: test/fixtures/cases.ts.
      timeout: isThorough ? 900_000 : 60_000,
    },
    {
      name: "thorough",
      description:
        "needs much CPU for what a cheaper test shows in part, or collects garbage: in `npm run test:search`",
      timeout: 120_000,
    },
    {
      name: "heavy",
      description: "needs half a second of CPU for one large input, or for all libraries",
      timeout: 30_000,
    },
    { name: "dates", description: "sets the wall clock itself, or counts on the dates to come" },
  ].map((tag) => ({ ...tag, skip: without.includes(tag.name) }));

export default defineConfig({
  test: {
    testTimeout: 5_000,
    // See also setup.ts.
    expect: { poll: { timeout: 4_500, interval: 20 } },
    setupFiles: ["test/fixtures/setup.ts"],
    // Each worker loads all libraries, which takes three seconds of CPU.
    maxWorkers: 2,
    // The files of a worker share their modules, and come in another order in each run: state that one leaves behind would show.
    isolate: false,
    sequence: { shuffle: { files: true } },
    // No test mocks a module, so Node itself loads them: Vite's transform would take a fifth of the run's time.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    execArgv: ["--conditions=development"],
    projects: [
      {
        extends: true,
        test: {
          name: "steady clock",
          include: ["{src,adapters,deploy,test}/**/*.test.ts"],
          exclude: ["test/{peers,e2e}/**", "**/node_modules/**"],
          tags: tags(...(isThorough ? [] : ["thorough"])),
        },
      },
      {
        // Again, with a wall clock that jumps by two hours back and forth between any two steps: finds waits and
        // ages that are counted by `now()`. With that in place of `elapsedMs()` in write-contention.ts,
        // leaf-rollout-gate.ts or timer-queue.ts tests fail here that pass with a steady clock.
        extends: true,
        test: {
          name: "jumping clock",
          include: [
            "src/controller/{controller,faults,leader-elected-runner,leaf-rollout-gate,renewal,rotation-batcher,served}.test.ts",
            "src/store/*/{conformance,crash,drift,write-contention,writes,invalid-status}.test.ts",
          ],
          env: { ATTACHE_TEST_CLOCK: "jumping" },
          // Afterwards: a worker is used again only for the next file of its project.
          sequence: { groupOrder: 1 },
          maxWorkers: 1,
          setupFiles: ["test/fixtures/jumping-clock.ts"],
          tags: tags("process", "search", "thorough", "dates"),
        },
      },
    ],
  },
});
