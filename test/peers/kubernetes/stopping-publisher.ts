/**
 * Does one piece of work with a store of its own and stops before a given write, for ever: it says so, and is to be
 * killed then. Run by store-kill.test.ts.
 */
import { accessOf } from "../../../src/kube/access.ts";
import type { ApiRequest, KubeClient } from "../../../src/kube/client.ts";
import { openKubeClient } from "../../../src/kube/client.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { noUses } from "../../fixtures/no-uses.ts";
import { openKubernetesStore } from "../../../src/store/kubernetes/kubernetes-store.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { targetOf } from "../../conformance/store-target.ts";
import type { Access } from "./rest.ts";

export interface StopAt {
  readonly access: Access;
  readonly namespace: string;
  /** The version to publish; none: what is deleted is withdrawn. */
  readonly version?: string;
  /** How many writes are let through. */
  readonly writes: number;
}

const { access, namespace, version, writes } = JSON.parse(process.argv[2] ?? "") as StopAt;
const { server, ca, token } = access;
const api = openKubeClient(
  accessOf({ server, namespace, ca: { text: ca }, token: { text: token } }, systemClock),
  {
    userAgent: "attache/tests",
  },
);
let left = writes;

const stopping: KubeClient = {
  ...{ server, namespace, aheadMs: 0 },
  async request<T>(request: ApiRequest): Promise<T> {
    if (request.method !== "GET" && left-- === 0) {
      process.stdout.write("stopped\n");
      await new Promise(() => setInterval(() => undefined, 1_000));
    }
    return api.request<T>(request);
  },
  watch: (request, signal) => api.watch(request, signal),
  [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
};

const store = openKubernetesStore({
  api: stopping,
  namespaces: [namespace],
  installation: "attache",
  meshes: new Set(["consul"]),
  uses: noUses,
  clock: systemClock,
  logger: createLogger("silent"),
});
for await (const event of store.watch(new AbortController().signal)) {
  if (event.type === "gone") await store.withdraw(event.identity);
  if (event.type !== "identity" || version === undefined) continue;
  await store.apply(event.identity, targetOf(event.identity, version));
}
