/**
 * `mappings.ts COUNT`: how long the event loop is held up while so many Mappings are applied again unchanged, as GitOps does
 * each few minutes. Prints JSON.
 */
import { once } from "node:events";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { openKubeClient, type KubeClient } from "../../src/kube/client.ts";
import { pathOf, resources } from "../../src/kube/resources.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { openKubernetesStore } from "../../src/store/kubernetes/kubernetes-store.ts";
import { createLogger } from "../../src/telemetry/logger.ts";

const count = Number(process.argv[2] ?? 10_000);
const mappings = pathOf(resources.mappings);

/** The CPU time of the turns of the event loop: what other work on the machine delays does not count. */
class Turns {
  #longestMs = 0;
  #next = setImmediate(() => this.#turned());
  #usage = process.threadCpuUsage();

  /** Of the longest one, in milliseconds. */
  end(): number {
    clearImmediate(this.#next);
    return this.#longestMs;
  }

  #turned(): void {
    const { user, system } = process.threadCpuUsage(this.#usage);
    this.#longestMs = Math.max(this.#longestMs, (user + system) / 1000);
    this.#usage = process.threadCpuUsage();
    this.#next = setImmediate(() => this.#turned());
  }
}

/** An API server of Mappings in a thread of its own. Each message has all of them applied again. */
const server = new Worker(
  `
  const { createServer } = require("node:http");
  const { parentPort, workerData: { count, mappings } } = require("node:worker_threads");
  const watchers = new Set();
  let version = 1;
  const line = (type, object) => JSON.stringify({ type, object }) + "\\n";
  const mapping = (index) => ({
    apiVersion: "getambassador.io/v3alpha1",
    kind: "Mapping",
    metadata: {
      namespace: "shop-" + (index % 50), name: "mapping-" + index, uid: "uid-" + index,
      resourceVersion: String((version += 1)), generation: 1,
    },
    spec: { hostname: "*", prefix: "/" + index + "/", service: "https://svc-" + index + ".shop", tls: "context-" + (index % 1000) },
  });
  const bookmark = () => ({ metadata: { resourceVersion: String(version), annotations: { "k8s.io/initial-events-end": "true" } } });
  const server = createServer((request, response) => {
    const isMappings = request.url.startsWith(mappings + "?");
    response.writeHead(200, { "content-type": "application/json" });
    if (isMappings) for (let index = 0; index < count; index += 1) response.write(line("ADDED", mapping(index)));
    response.write(line("BOOKMARK", bookmark()));
    if (isMappings) watchers.add(response);
  });
  parentPort.on("message", () => {
    for (const response of watchers)
      for (let index = 0; index < count; index += 1) response.write(line("MODIFIED", mapping(index)));
  });
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
  `,
  { eval: true, workerData: { count, mappings } },
);

const [port] = (await once(server, "message")) as [number];
const client = openKubeClient(
  {
    server: `http://127.0.0.1:${port}`,
    namespace: "attache",
    authenticate: () => Promise.resolve({ tls: {}, headers: {} }),
    refused: () => undefined,
  },
  { userAgent: "attache/bench" },
);
let seen = 0;
const api: KubeClient = {
  server: client.server,
  namespace: client.namespace,
  aheadMs: undefined,
  request: (request) => client.request(request),
  async *watch<T>(request: Parameters<KubeClient["watch"]>[0], signal: AbortSignal) {
    for await (const event of client.watch<T>(request, signal)) {
      yield event;
      if (request.path === mappings) seen += 1;
    }
  },
  [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
};
const store = openKubernetesStore({
  api,
  namespaces: [],
  installation: "attache",
  meshes: new Set(["consul"]),
  clock: systemClock,
  logger: createLogger("silent"),
});
const rounds = 5;
/** The control: about as long as the rounds take, nothing is sent. */
const idleMs = 2_000;
await until(() => seen === count + 1);
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
await setTimeout(idleMs);
const idleP99Ms = delay.percentile(99) / 1e6;
delay.reset();
const turns = new Turns();
for (let round = 1; round <= rounds; round += 1) {
  server.postMessage("again");
  await until(() => seen === count * (round + 1) + 1);
}
delay.disable();
const loopP99Ms = delay.percentile(99) / 1e6;
process.stdout.write(
  JSON.stringify({ loopP99Ms, idleP99Ms, turnCpuMs: turns.end(), events: count * rounds }),
);
await server.terminate();
await store[Symbol.asyncDispose]();
await client[Symbol.asyncDispose]();

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(20);
}
