import { glob, readFile } from "node:fs/promises";
import { dirname, join, normalize, resolve } from "node:path";
import { parseAst } from "rolldown/parseAst";
import { describe, expect, it } from "vitest";

const repository = resolve(import.meta.dirname, "..");

/** The rooms of docs/architecture.md, lowest first: a file imports from its own room and from those above it in this list. */
const rooms = [
  "src/errors",
  "src/text",
  "src/runtime",
  "src/telemetry",
  "src/credentials",
  "src/emissary",
  "src/kube",
  "src/mesh",
  "adapters",
  "src/registry",
  "src/api",
  "src/config",
  "src/render",
  "src/store",
  "src/ingress",
  "src/controller",
  "src/server",
  "src/console",
  "src/doctor",
  "src/migrate",
  "src/app",
  "src/demo",
  "src/cli",
  "src",
];

const sources = await readSources();
const imports = new Map([...sources].map(([file, text]) => [file, importsOf(file, text)]));

describe("the structure of src and adapters", () => {
  it("has no circle of imports", () => {
    expect(circles(imports)).toEqual([]);
  });

  it("imports downwards only", () => {
    const upwards = [...imports].flatMap(([file, targets]) =>
      targets.filter((target) => rank(target) > rank(file)).map((target) => `${file} -> ${target}`),
    );
    expect(upwards).toEqual([]);
  });

  it("keeps the adapters apart from each other", () => {
    const kind = (file: string) => /^adapters\/([^/]+)\//.exec(file)?.[1];
    const across = [...imports].flatMap(([file, targets]) =>
      targets
        .filter((target) => kind(file) !== undefined && kind(target) !== undefined)
        .filter((target) => kind(target) !== kind(file))
        .map((target) => `${file} -> ${target}`),
    );
    expect(across).toEqual([]);
  });

  it("answers why something is not served in five files, each of which imports the next", async () => {
    const path = [
      "src/ingress/controller.ts",
      "src/ingress/evaluate.ts",
      "src/ingress/verdict.ts",
      "src/ingress/observation.ts",
      "src/emissary/serving-state.ts",
    ];
    expect(gaps(path)).toEqual([]);
    const page = await readFile(join(repository, "docs/architecture.md"), "utf8");
    expect(path.filter((file) => !page.includes(`\`${file}\``))).toEqual([]);
  });

  it("carries a credential from the adapter to the API server in at most 12 files, adjacent ones joined by an import", () => {
    const way = [
      "adapters/consul/http/http-mesh.ts",
      "src/mesh/adapter.ts",
      "src/mesh/port.ts",
      "src/controller/source.ts",
      "src/controller/reconciler.ts",
      "src/render/render.ts",
      "src/render/manifest.ts",
      "src/store/publisher.ts",
      "src/store/applier.ts",
      "src/store/backend.ts",
      "src/store/kubernetes/backend.ts",
      "src/kube/client.ts",
    ];
    expect(way.length).toBeLessThanOrEqual(12);
    // Where the lower room calls back, the import points the other way.
    const reversed = new Set(
      gaps(way.toReversed()).map((gap) => gap.split(" -> ").toReversed().join(" -> ")),
    );
    expect(gaps(way).filter((gap) => reversed.has(gap))).toEqual([]);
  });

  it("exports no type name twice, but for those of generated protocols", () => {
    const places = new Map<string, string[]>();
    for (const [file, text] of sources) {
      if (file.endsWith(".pb.ts")) continue;
      for (const [, name = ""] of text.matchAll(/^export (?:abstract )?(?:interface|type|class) (\w+)/gm)) {
        places.set(name, [...(places.get(name) ?? []), file]);
      }
    }
    const twice = [...places].filter(([, files]) => files.length > 1).map(([name]) => name);
    expect(twice).toEqual([]);
  });

  it("has no file of more than 400 lines", () => {
    const long = [...sources].filter(([file]) => !file.endsWith(".pb.ts"));
    expect(long.filter(([, text]) => text.split("\n").length > 401).map(([file]) => file)).toEqual([]);
  });
});

describe("the time in src and adapters", () => {
  const matching = (pattern: RegExp, exceptRooms: RegExp) =>
    [...sources]
      .filter(([file, text]) => pattern.test(text) && !exceptRooms.test(file))
      .map(([file]) => file);

  it("is waited for by the runtime's means, but where this list says why", () => {
    const timers = {
      "src/cli/run.ts": "ends a process whose end hangs; no clock is there yet or any more",
      "src/console/web/live.ts": "in the browser",
      "src/console/web/main.tsx": "in the browser",
      "src/console/web/parts.tsx": "in the browser",
      "src/cli/render.ts": "keeps the process alive while nothing but a watch of files runs",
    };
    expect(matching(/\bset(?:Timeout|Interval)\(/, /^src\/(?:runtime|mesh\/kit)\//)).toEqual(
      Object.keys(timers).toSorted(),
    );
  });

  it("is the wall clock's only beside a date that came from a certificate or the API", () => {
    const dates = {
      "adapters/consul/grpc/grpc-mesh.ts": "when leaves end, and begin",

      "adapters/consul/http/check.ts": "the Date header of the agent",
      "adapters/istio/files/source.ts": "validity of leaves",
      "adapters/istio/istiod/mesh.ts": "validity of chains",
      "adapters/istio/istiod/tokens.ts": "expiry of tokens",
      "adapters/istio/sds/agent.ts": "validity and renewal of leaves",
      "adapters/spiffe/check.ts": "validity of SVIDs",
      "adapters/spiffe/workload-mesh.ts": "validity and renewal of SVIDs",
      "src/cli/bundle.ts": "the time in the name of an archive",
      "src/cli/inspect.ts": "validity of certificates",
      "src/cli/renew.ts": "the value of an annotation",
      "src/cli/run.ts": "when settings came into force, for people",
      "src/cli/status.ts": "validity of leaves, times in conditions",
      "src/console/history.ts": "times of rotations, beside those in statuses",
      "src/console/server.ts": "the time beside dates of certificates",
      "src/console/snapshots.ts": "validity of leaves",
      "src/console/web/live.ts": "the clock of the browser, beside that of the process",
      "src/console/web/main.tsx": "what is shown",
      "src/controller/leaf-rollout-gate.ts": "the end of the published leaf",
      "src/controller/reconciler.ts": "validity of leaves, retire times of roots, times in conditions",
      "src/controller/rotation-log.ts": "the time of the last rotation in the status",
      "src/demo/demo.ts": "what is printed",
      "src/doctor/contexts.ts": "validity of leaves",
      "src/doctor/leadership.ts": "the age of a Lease",
      "src/doctor/status-checks.ts": "validity of leaves",
      "src/ingress/controller.ts": "expiry of certificates in Envoy, times in conditions",
      "src/ingress/pod-poller.ts": "times in conditions",
      "src/kube/client.ts": "the Date header of the API server",
      "src/kube/kubeconfig.ts": "expiry of credentials",
      "src/kube/lease.ts": "times in Leases",
      "src/mesh/issuance.ts": "renewal and expiry of leaves",
      "src/mesh/kit/pair-assembler.ts": "validity of leaves",
      "src/runtime/clock.ts": "the clock itself",
      "src/runtime/timer-queue.ts": "waits for dates",
      "src/store/kubernetes/backend.ts": "the annotation of a touch",
      "src/store/kubernetes/event-recorder.ts": "times in Events",
      "src/store/kubernetes/kubernetes-store.ts": "validity of leaves, times in conditions",
      "src/store/kubernetes/orphans.ts": "times in conditions",
    };
    const found = matching(/[cC]lock\.now\(\)|\bDate\.now\(|\bnew Date\(\)/, /\/development\//);
    expect(found).toEqual(Object.keys(dates));
  });

  it("is measured by the clock's `elapsedMs()`, but where this list says why", () => {
    const measured = {
      "src/demo/client.ts": "latencies that are printed",
      "src/runtime/clock.ts": "the clock itself",
      "src/runtime/time-slice.ts": "the time of the processor, which no test moves",
    };
    expect(matching(/\bperformance\.now\(|\bhrtime\b/, /\/development\//)).toEqual(Object.keys(measured));
  });
});

describe("the loops in src and adapters", { tags: ["heavy"] }, () => {
  it("leave waiting again and again to the worker and the kit, but where this list says why", () => {
    const reasons = {
      "src/cli/renew.ts": "`--wait`, until a signal or the time is over",
      "src/cli/run.ts": "reloads of the settings, until a signal",
      "src/cli/status.ts": "`--watch`, until a signal",
      "src/console/web/live.ts": "the connection of the page, and again",
      "src/controller/source.ts": "hands on what a watch yields; the worker begins the next watch",
      "src/doctor/delete-identities.ts": "until attaché has let go of the last one",
      "src/kube/client.ts": "one retry with new credentials",
      "src/kube/informer.ts": "a list, its watch, and again: the state machine of informer-state.ts",
      "src/kube/leader-election.ts": "leadership, term after term",
      "src/kube/pages.ts": "the pages of one list",
      "src/kube/term.ts": "renews the Lease for as long as it is held",
      "src/mesh/issuance.ts": "a leaf, its renewal, and again",
      "src/store/applier.ts": "at most a few attempts after a conflict",
      "src/store/directory/store-watch.ts": "rescans and events of the folder",
      "src/telemetry/identity-series.ts": "pieces of one page",
    };
    const isExempt = /^src\/(?:runtime|mesh\/kit|demo)\/|\/development\//;
    const found = [...sources].filter(([file, text]) => !isExempt.test(file) && hasWaitingLoop(file, text));
    expect(found.map(([file]) => file)).toEqual(Object.keys(reasons));
  });
});

/** Whether a loop that is not one over the items of something awaits anything. */
function hasWaitingLoop(file: string, text: string): boolean {
  // Most files need no parser to tell.
  if (!/\b(?:for|while|do)\b[^]*\bawait\b/.test(text)) return false;
  const waits = (node: Syntax) =>
    loops.has(node.type) && some(node, isWait, (child) => !functions.has(child.type));
  return some(parseAst(text, { lang: file.endsWith("x") ? "tsx" : "ts" }, file), waits, () => true);
}

interface Syntax {
  readonly type: string;
  /** Of `for await`. */
  readonly await?: boolean;
}

const loops = new Set(["ForStatement", "WhileStatement", "DoWhileStatement"]);
const functions = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);
const isWait = (node: Syntax) => node.type === "AwaitExpression" || node.await === true;

/** Whether a node or one below it, as far as `enters` goes, passes `test`. */
function some(node: Syntax, test: (node: Syntax) => boolean, enters: (node: Syntax) => boolean): boolean {
  const children = Object.values<unknown>({ ...node })
    .flat()
    .filter(isSyntax);
  return test(node) || children.some((child) => enters(child) && some(child, test, enters));
}

function isSyntax(value: unknown): value is Syntax {
  return typeof value === "object" && value !== null && "type" in value;
}

async function readSources(): Promise<Map<string, string>> {
  const files: string[] = [];
  for await (const file of glob("{src,adapters}/**/*.{ts,tsx}", { cwd: repository })) {
    if (!/\.test\.ts$|\.d\.ts$/.test(file)) files.push(file);
  }
  files.sort();
  const texts = await Promise.all(files.map((file) => readFile(join(repository, file), "utf8")));
  return new Map(files.map((file, index) => [file, texts[index] ?? ""]));
}

/** Also those of types, and those that are loaded late. */
function importsOf(file: string, text: string): string[] {
  return [...text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*"(\.[^"]+)"/g)].map(([, path = ""]) =>
    normalize(join(dirname(file), path)),
  );
}

/** Where a file of the path does not import the next one. */
function gaps(path: readonly string[]): string[] {
  return path
    .slice(1)
    .map((file, index) => [path[index] ?? "", file] as const)
    .filter(([before, file]) => imports.get(before)?.includes(file) !== true)
    .map(([before, file]) => `${before} -> ${file}`);
}

function rank(file: string): number {
  const room = rooms.findIndex(
    (one) => file.startsWith(`${one}/`) && (one !== "src" || !file.slice(4).includes("/")),
  );
  if (room < 0) throw new Error(`${file} is in no room: add it to the list here and to docs/architecture.md`);
  return room;
}

/** The strongly connected components with more than one file (Tarjan, 1972). */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const indexes = new Map<string, number>();
  const lows = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];

  function visit(file: string): number {
    const index = indexes.size;
    indexes.set(file, index);
    lows.set(file, index);
    stack.push(file);
    for (const target of graph.get(file) ?? []) {
      if (!indexes.has(target)) visit(target);
      if (stack.includes(target))
        lows.set(file, Math.min(lows.get(file) ?? index, lows.get(target) ?? index));
    }
    if (lows.get(file) === index) {
      const component = stack.splice(stack.indexOf(file));
      if (component.length > 1) found.push(component);
    }
    return index;
  }

  for (const file of graph.keys()) if (!indexes.has(file)) visit(file);
  return found;
}
