import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What waits longest begins first: by default large files do, and the demo would begin when all else is over. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) =>
      /\/src\/(?:demo\/demo|cli\/cli)\.test\.ts$/.test(moduleId);
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

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
    sequence: { sequencer: LongestFirst },
  },
});
