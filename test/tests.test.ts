import { glob, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const repository = resolve(import.meta.dirname, "..");
const tests = await read(
  "{src,adapters,deploy,test}/**/*.test.ts",
  "test/{fixtures,conformance,model}/**/*.ts",
);
const all = await read("{src,adapters}/**/*.ts", "test/{fixtures,conformance,model}/**/*.ts");

describe("the tests", () => {
  it("wait for conditions or move a manual clock: they do not sleep, but where this list says why", () => {
    const reasons = {
      "adapters/istio/sds/secret-stream.test.ts": "the stream's own pause, which takes no time here",
      "deploy/image.test.ts": "a process that shows that no debugger opens later",
      "src/cli/cli.test.ts": "a plug-in that never ends",
      "src/cli/demo.test.ts": "a second signal, which would come with the first",
      "src/server/server.test.ts": "a request that trickles in",
      "test/conformance/defects.test.ts": "adapters with defects: one polls, one leaves a timer behind",
      "test/conformance/time.ts":
        "limits that only a failure reaches, and looks at handles, which give no notice",
      "test/several/several.test.ts": "real pauses, shortened to a tenth",
    };
    const sleep = /\bset(?:Timeout|Interval)\(|AbortSignal\.timeout\(|systemClock\.sleep\(/;
    expect(matching(tests, sleep)).toEqual(Object.keys(reasons));
  });

  it("listen on any free port", () => {
    expect(matching(tests, /\blisten\((?:\{ port: )?[1-9]/)).toEqual([]);
  });

  it("make each temporary folder under a name of its own", () => {
    expect(matching(tests, /(?<!mkdtemp(?:Sync)?\(join\()(?<!realpath\()\btmpdir\(\)/)).toEqual([]);
  });
});

describe("what the files of tests of one worker share", () => {
  it("is no state of a module, but what this list says is harmless", () => {
    const reasons = {
      "src/credentials/assemble.ts": "the key that was parsed last, by the secret that holds it",
      "src/credentials/certificates.ts": "equal certificates share one object, which does not change",
      "src/credentials/chain.ts": "a signature is verified once: nothing changes the answer",
      "src/credentials/crl.ts": "equal lists share one object, which answers alike",
      "src/ingress/evaluate.ts": "an empty map, of a type that cannot be written",
      "src/kube/discovery.ts": "by client, and each test has its own",
      "src/runtime/abort.ts": "by promise",
      "src/runtime/time-slice.ts": "ends with each turn of the event loop",
      "src/runtime/timer-queue.ts": "by clock, and each test has its own",
      "src/store/backend.ts": "by object, which does not change",
      "src/store/kubernetes/observe.ts": "equal lists of keys share one object, which does not change",
      "src/telemetry/metrics.ts": "metrics of the process itself",
      "test/fixtures/fake-cluster.ts": "by object, which does not change",
      "test/fixtures/pki.ts": "names that differ, RSA keys, and exports of keys",
      "test/fixtures/wall-clock.ts": "jumps in each turn of the event loop",
      "test/model/pod.ts": "by certificate",
    };
    const made = "new (?:Map|Set|WeakMap|WeakSet|LatestValue|Semaphore|Shared)(?:<.*>)?\\(\\)";
    const state = new RegExp(
      `^(?:export )?(?:let |const \\w+(?:: [^=]+)? = ${made};|const \\w+: \\S+\\[\\] = )`,
      "m",
    );
    const product = new Map([...all].filter(([file]) => !file.endsWith(".test.ts")));
    expect(matching(product, state)).toEqual(Object.keys(reasons));
  });
});

async function read(...patterns: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const exclude = ["**/node_modules/**", "test/{peers,e2e}/**", "test/tests.test.ts"];
  const files = await Array.fromAsync(glob(patterns, { cwd: repository, exclude }));
  const sorted = [...new Set(files)].toSorted();
  const texts = await Promise.all(sorted.map((file) => readFile(join(repository, file), "utf8")));
  return new Map(sorted.map((file, index) => [file, texts[index] ?? ""]));
}

function matching(files: ReadonlyMap<string, string>, pattern: RegExp): string[] {
  return [...files].filter(([, text]) => pattern.test(text)).map(([file]) => file);
}
