import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Running } from "../fixtures/cli.ts";
import { buildPeer } from "../peers/build.ts";
import { type FollowedPage, followPage } from "../peers/followed-page.ts";
import { linkChart, startPod } from "../peers/helm/pod.ts";
import type { Cluster } from "../peers/kubernetes/cluster.ts";
import { kubeconfigOf } from "../peers/kubernetes/kubeconfig.ts";
import { type Emissary, startEmissary } from "./emissary.ts";
import { startLoad } from "./load.ts";
import type { Tap } from "./tap.ts";

export interface MigrationOptions {
  readonly cluster: Cluster;
  /** Of `docs/howto`. */
  readonly page: string;
  /** Of Emissary and the set-up. */
  readonly namespace: string;
  /** As the page has it, if that is another one. */
  readonly pageNamespace?: string;
  /** Of the set-up, as YAML. */
  readonly manifests: string;
  /** The Deployment that runs its program. */
  readonly deployment: string;
  /**
   * What the program does, again and again while its Deployment has replicas, in place of a kubelet; without
   * `isThere` it has none.
   */
  readonly program: (isThere: boolean, deployment: Deployment | undefined) => Promise<void>;
  /** What stands in for commands that need a controller or a node. */
  readonly standIns?: Readonly<Record<string, string>>;
  /** The files of the sidecar, while there is one. */
  readonly istioFiles?: () => string | undefined;
  /** Gives the settings of the release addresses that are here. */
  readonly settings: (settings: string) => string;
  /** Before the upstreams. */
  readonly tap: Tap;
  /** Behind Emissary. */
  readonly paths: readonly string[];
}

export interface Deployment {
  readonly spec: {
    readonly replicas?: number;
    readonly template: { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> } };
  };
}

/** A cut-over in words that a test can read, as `attache migrate` prints it. */
interface PrintedStep {
  readonly title: string;
  readonly run: string;
  readonly see: string;
  readonly back: string;
}

export interface MigrationReport {
  readonly titles: readonly string[];
  readonly sent: number;
  readonly failures: readonly string[];
  readonly plaintext: number;
  /** When the leaves end that Envoy presents, by cluster: before, after the cut-over, and back again. */
  readonly leaves: readonly (readonly number[])[];
}

/**
 * Installs a set-up, follows the page and each command that `attache migrate` prints, under load, to the end and
 * back again.
 */
export async function carryOut(
  stack: AsyncDisposableStack,
  options: MigrationOptions,
): Promise<MigrationReport> {
  const { cluster, namespace, manifests, tap, paths, standIns = {} } = options;
  const { admin, access } = cluster;
  const page = stack.use(await openPage(options));
  // A machine that has too much to do is slow, and does not fail.
  const slow = '  hostname: "*"\n';
  await page.write(
    "former.yaml",
    manifests.replaceAll(slow, `${slow}  timeout_ms: 15000\n  connect_timeout_ms: 15000\n`),
  );
  for (const name of new Set(
    [...manifests.matchAll(/namespace: (\S+?),? *\}?$/gm)].map(([, one = ""]) => one),
  ))
    await admin.create("/api/v1/namespaces", { metadata: { name } }).catch(() => undefined);
  await page.run("kubectl apply --server-side -f former.yaml");
  stack.use(keepRunning(options));
  const emissary = stack.use(
    await startEmissary({
      access,
      admin,
      namespace,
      ...(options.istioFiles && { istioFiles: options.istioFiles }),
    }),
  );
  const url = (path: string) => emissary.pods.map((pod) => emissary.url(path, pod));
  await until(async () => {
    const answers = await Promise.all(paths.flatMap(url).map((one) => fetch(one)));
    return answers.every(({ ok }) => ok) && (await presented(emissary)).length > 0;
  }, "an answer through the former set-up");
  const leaves = [await presented(emissary)];
  // Before its program had written anything, requests were plaintext.
  const plaintext = tap.plaintext;
  const load = stack.use(startLoad(() => paths.flatMap(url)));
  let attache: Running | undefined;
  stack.defer(async () => attache?.[Symbol.asyncDispose]());
  const enough = async () => {
    const from = load.sent;
    await until(() => Promise.resolve(load.sent >= from + 20), "20 requests");
  };

  /** As the rollout of another Deployment does. */
  async function startAttache(): Promise<void> {
    // As the kubelet ends a pod: it gives its lease back.
    attache?.process.kill("SIGTERM");
    await attache?.finished;
    await attache?.[Symbol.asyncDispose]();
    attache = await startPod(cluster, {
      release: "attache",
      namespace,
      fill: (settings) => options.settings(withEmissary(settings, emissary)),
    });
  }

  let variables = "";
  async function run(script: string): Promise<void> {
    const filled = Object.entries(standIns).reduce(
      (text, [command, by]) => text.replaceAll(new RegExp(command, "gm"), by),
      script,
    );
    for (const part of filled.split(/(?<=^helm [^\n]*\n)/m)) {
      await page.run(`${variables}\n${part}`).catch((error: unknown) => {
        throw new Error(`${part}\n${attache?.stderr.slice(-4_000) ?? ""}`, { cause: error });
      });
      if (/^helm (install|upgrade)/m.test(part)) await startAttache();
    }
    // The shell of a user keeps it.
    const [setting] = /^ID=.*$/m.exec(filled) ?? [];
    if (setting !== undefined) variables = `ID="${(await page.run(`${setting}\necho "$ID"`)).stdout.trim()}"`;
  }

  const command = page.block("sh", "1.").replace(options.pageNamespace ?? namespace, namespace);
  const { stdout } = await page.run(command);
  const steps = stepsIn(stdout);
  for (const { run: script, see } of steps) {
    await run(script);
    await run(see);
    await enough();
  }
  leaves.push(await presented(emissary));
  for (const { back } of steps.toReversed()) {
    await run(back);
    await enough();
  }
  leaves.push(await presented(emissary));
  await load[Symbol.asyncDispose]();
  return {
    titles: steps.map(({ title }) => title),
    sent: load.sent,
    failures: load.failures.map(
      ({ at, what }) => `${new Date(performance.timeOrigin + at).toISOString()} ${what}`,
    ),
    plaintext: tap.plaintext - plaintext,
    leaves,
  };
}

export function stepsIn(text: string): PrintedStep[] {
  const [, ...printed] = text.slice(text.indexOf("# The cut-over.")).split(/^\d+\. /m);
  return printed.map((one) => {
    const [title = "", ...lines] = one.split("\n");
    const commands = { run: "", see: "", back: "" };
    let part: keyof typeof commands = "run";
    for (const line of lines) {
      if (line.startsWith("     ")) commands[part] += `${line.slice(5)}\n`;
      else if (line.startsWith("   See")) part = "see";
      else if (line.startsWith("   To go back")) part = "back";
    }
    return { title, ...commands };
  });
}

/** A machine of a user, who has `helm` and `kubectl`. */
async function openPage({ page: name, cluster, namespace }: MigrationOptions): Promise<FollowedPage> {
  const page = await followPage(name, {
    fill: (text) => text,
    env: () => ({ KUBECONFIG: join(page.folder, "kubeconfig") }),
  });
  await page.write("kubeconfig", kubeconfigOf(cluster.access, namespace));
  await linkChart(page.folder);
  await page.provide("kubectl", `"${join(await buildPeer("kubernetes"), "kubectl")}" "$@"`);
  // Its Jobs need a node.
  await page.provide(
    "helm",
    `"${join(await buildPeer("helm"), "helm")}" "$@" $([ "$1" = install ] || echo --no-hooks)`,
  );
  return page;
}

function keepRunning({
  cluster: { admin },
  namespace,
  deployment,
  program,
}: MigrationOptions): AsyncDisposable {
  const over = new AbortController();
  const running = (async () => {
    while (!over.signal.aborted) {
      const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}`;
      const found = await admin.get<Deployment>(path).catch(() => undefined);
      await program(found !== undefined && found.spec.replicas !== 0, found);
      await sleep(200);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      over.abort();
      await running;
    },
  };
}

/** The pods of the imitation have a port of their own. */
function withEmissary(settings: string, { settings: { port } }: Emissary): string {
  return settings.replace(/^emissary:\n(?:\s*- .*\n)/m, `emissary:\n  - port: ${port}\n`);
}

async function presented(emissary: Emissary): Promise<readonly number[]> {
  const [pod] = emissary.pods;
  return [...(await emissary.served(pod)).values()].map(({ leaf }) => leaf);
}

/** @throws Error if it takes more than a minute. */
async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const endsAt = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error(`${what} did not come within a minute`);
    await sleep(100);
  }
}
