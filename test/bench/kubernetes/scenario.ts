/**
 * `scenario.ts NAME FOLDER COUNT`: measures one thing in a process of its own against the API server of the
 * folder, and prints it as JSON.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { systemClock } from "../../../src/runtime/clock.ts";
import { openKubeClient } from "../../../src/kube/client.ts";
import { loadAccess } from "../../../src/kube/load-access.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { restOf } from "../environment.ts";
import { emit, issuedSoFar, load } from "../prepared-mesh.ts";
import { apply, type Client, connect, cpuSecondsSince, merge, onAll } from "./client.ts";
import { wantCertificates } from "./want.ts";
import { startProcess } from "./process.ts";
import { Traffic } from "./traffic.ts";

const [name = "", folder = "", countText = "0"] = process.argv.slice(2);
const count = Number(countText);
const scenarios: Readonly<Record<string, (client: Client) => Promise<object>>> = {
  prepare,
  warm,
  publish,
  restart,
  crowd,
};

await using client = await connect(folder);
process.stdout.write(JSON.stringify(await scenarios[name]?.(client)));

/** The namespaces, and the MeshCertificates that are to be published. */
async function prepare(): Promise<object> {
  for (const namespace of ["warm", "bench", "bare"]) {
    const body = { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } };
    await client.send("POST", pathOf(resources.namespaces), body);
  }
  await wantCertificates(client, { mesh: "bench", namespace: "warm", count: 10 });
  await wantCertificates(client, { mesh: "bench", namespace: "bench", count });
  return {};
}

/**
 * The API server does everything for the first time, and what is published is the model of what is sent bare.
 */
async function warm(): Promise<object> {
  const traffic = new Traffic();
  await using _attache = await startProcess(folder, "warm", client);
  await until(() => traffic.count("PATCH meshcertificates/status") >= 10);
  await traffic.quiet(500);
  return {};
}

/**
 * From the start until everything is published, and until every status says so; then at rest, one thing after
 * the other.
 */
async function publish(): Promise<object> {
  const traffic = new Traffic();
  const [startedAt, cpuBefore] = [performance.now(), process.cpuUsage()];
  let published = 0;
  const attache = await startProcess(folder, "bench", client, () => (published += 1));
  await using _attache = attache;
  await until(() => published === count);
  const objectsSeconds = (performance.now() - startedAt) / 1_000;
  const isReady = () =>
    attache.reconcilers.every(({ status }) =>
      status?.conditions.some(({ type, status: is }) => type === "Ready" && is === "True"),
    );
  await until(() => isReady() && traffic.count("PATCH meshcertificates/status") >= count);
  const requestsSeconds = (performance.now() - startedAt) / 1_000;
  const cpuSeconds = cpuSecondsSince(cpuBefore);
  await traffic.quiet(2_000);
  const { writes } = traffic;
  return {
    objectsSeconds,
    requestsSeconds,
    cpuSeconds,
    writes,
    rssMb: await rssMbAtRest(),
    ...(await rotate(traffic)),
    ...(await drift(traffic)),
  };
}

/** One rotation after the other, each beside the same write done bare. */
async function rotate(traffic: Traffic): Promise<object> {
  const roots = await readFile(join(folder, "roots.pem"));
  const bareSecret = pathOf(resources.secrets, { namespace: "warm", name: "bare" });
  const ours: number[] = [];
  const bare: number[] = [];
  const services = Math.min(count, 100);
  for (let round = 0; round < 2 * services; round += 1) {
    const service = `svc-${round % services}`;
    const version = round < services ? "b" : "a";
    const file = join(folder, `${service}.${version}.pem`);
    const credential = await load(file, roots);
    const isOurs = (one: Traffic["answered"][number]) =>
      one.what === "PATCH secrets" && one.namespace === "bench" && one.name === `${service}-mesh-cert`;
    const before = traffic.answered.length;
    const emittedAt = performance.now();
    emit(service, credential);
    const found = () => traffic.answered.slice(before).find(isOurs);
    await until(() => found() !== undefined, 1);
    ours.push((found()?.atMs ?? NaN) - emittedAt);
    await traffic.quiet(50);

    const data = { "tls.crt": btoa(await readFile(file, "utf8")), "tls.key": "" };
    const body = { apiVersion: "v1", kind: "Secret", metadata: { name: "bare", namespace: "warm" }, data };
    const bareAt = performance.now();
    await client.send("PATCH", `${bareSecret}?fieldManager=bare&force=true`, body, apply);
    bare.push(performance.now() - bareAt);
  }
  return {
    emitP50Ms: quantile(ours, 0.5),
    emitP99Ms: quantile(ours, 0.99),
    bareP50Ms: quantile(bare, 0.5),
    bareP99Ms: quantile(bare, 0.99),
  };
}

/** Another client edits one Secret after the other, and a third client sees it as it was. */
async function drift(traffic: Traffic): Promise<object> {
  const access = await loadAccess({ kubeconfig: join(folder, "bench.kubeconfig"), clock: systemClock });
  await using onlooker = openKubeClient(access, { userAgent: "onlooker" });
  const over = new AbortController();
  const seen = new Map<string, string | undefined>();
  const path = pathOf(resources.secrets, { namespace: "bench" });
  let look: (name: string, key: string | undefined) => void = () => undefined;
  const looking = (async () => {
    const query = { labelSelector: "attache.dev/installation" };
    for await (const { object } of onlooker.watch<Secret>({ path, query }, over.signal)) {
      const key = object.data?.["tls.key"];
      look(object.metadata.name, key);
      seen.set(object.metadata.name, key);
    }
  })().catch(() => undefined);
  await until(() => seen.size >= 2 * count);
  const repaired: number[] = [];
  for (let index = 0; index < Math.min(count, 200); index += 1) {
    const edited = `svc-${index}-mesh-cert`;
    const wanted = seen.get(edited);
    const back = Promise.withResolvers<undefined>();
    let isSpoilt = false;
    look = (name, key) => {
      if (name !== edited) return;
      if (key !== wanted) isSpoilt = true;
      else if (isSpoilt) back.resolve(undefined);
    };
    const editedAt = performance.now();
    await client.send(
      "PATCH",
      `${path}/${edited}?fieldManager=vandal`,
      { data: { "tls.key": "AAAA" } },
      merge,
    );
    await back.promise;
    repaired.push(performance.now() - editedAt);
    await traffic.quiet(50);
  }
  over.abort();
  await looking;
  return { driftP50Ms: quantile(repaired, 0.5), driftP99Ms: quantile(repaired, 0.99) };
}

interface Secret {
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
}

/** Over what is published already: until every identity was looked at, and at rest. */
async function restart(): Promise<object> {
  const traffic = new Traffic();
  const [startedAt, cpuBefore] = [performance.now(), process.cpuUsage()];
  await using attache = await startProcess(folder, "bench", client);
  const isVerified = () => {
    const { reconcilers } = attache;
    return reconcilers.length === count && reconcilers.every(({ hasLooked }) => hasLooked);
  };
  await until(isVerified);
  const seconds = (performance.now() - startedAt) / 1_000;
  const cpuSeconds = cpuSecondsSince(cpuBefore);
  await traffic.quiet(1_000);
  const { writes } = traffic;
  return {
    seconds,
    cpuSeconds,
    issued: issuedSoFar(),
    writes,
    rssMb: await rssMbAtRest(),
    bareSeconds: await readBare(traffic),
  };
}

/** Reads once more, bare, what was read at the start. */
async function readBare(traffic: Traffic): Promise<number> {
  const reads = traffic.answered.filter(({ what }) => what === "GET secrets");
  const startedAt = performance.now();
  await onAll(reads.length, async (index) => {
    await client.send("GET", reads[index]?.path ?? "");
  });
  return (performance.now() - startedAt) / 1_000;
}

/** Secrets of 100 KB of other owners, in the namespace where ours are. */
async function crowd(): Promise<object> {
  const data = { blob: Buffer.alloc(100_000, "attaché").toString("base64") };
  await onAll(count, async (index) => {
    const metadata = { namespace: "bench", name: `foreign-${index}` };
    await client.send("POST", pathOf(resources.secrets, { namespace: "bench" }), {
      ...{ apiVersion: "v1", kind: "Secret", metadata, data },
    });
  });
  return {};
}

async function until(holds: () => boolean, everyMs = 5): Promise<void> {
  while (!holds()) await setTimeout(everyMs);
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * share)] ?? NaN;
}

/** V8 gives back what it does not need once nothing has happened for some seconds. */
async function rssMbAtRest(): Promise<number> {
  await setTimeout(restOf(15_000));
  return process.memoryUsage.rss() / 1e6;
}
