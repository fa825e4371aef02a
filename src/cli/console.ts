import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type Lease, leaseName } from "../kube/lease.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { hostAndPort } from "../text/host.ts";
import { UsageError } from "./errors.ts";
import type { ConsoleCommandOptions } from "./options.ts";
import { type ClusterPlace, placeOf } from "./place.ts";
import { untilSignalled } from "./signals.ts";

/** The port of the console in the pod, as the chart has it. */
const podPort = 9466;

/** Opens the console: of the folder's attaché, or of the replica that leads in a cluster, until a signal. */
export async function openPage(options: ConsoleCommandOptions): Promise<void> {
  await using place = await placeOf(options);
  if (place.kind === "directory") {
    const { enabled, listen } = place.loaded.settings.console;
    if (!enabled) {
      throw new UsageError("the console is off", { remedy: "Set `console.enabled: true` in the settings." });
    }
    show(`http://${hostAndPort(listen.host, listen.port)}/`, options);
    return;
  }
  const { namespace, pod } = await leaderIn(place, options);
  await forward([...flagsOf(options), "-n", namespace, "port-forward", `pod/${pod}`], options);
}

interface Leader {
  readonly namespace: string;
  readonly pod: string;
}

/** By the Leases of attaché, in the namespace of the flags or anywhere. */
async function leaderIn({ api, loaded }: ClusterPlace, options: ConsoleCommandOptions): Promise<Leader> {
  const installation = options.installation ?? loaded?.settings.installation;
  const { items } = await api.request<{ readonly items: readonly Lease[] }>({
    method: "GET",
    path: pathOf(resources.leases, { namespace: options.namespace }),
    query: installation === undefined ? {} : { fieldSelector: `metadata.name=${leaseName(installation)}` },
  });
  const leaders = items.flatMap(({ metadata, spec }) => {
    // `POD_…`: a replica names itself so, and no other Lease of this name is attaché's.
    const pod = /^([^_]+)_.+/.exec(spec?.holderIdentity ?? "")?.[1];
    return metadata.name.startsWith(leaseName("")) && pod !== undefined
      ? [{ namespace: metadata.namespace ?? "", pod, name: metadata.name.slice(leaseName("").length) }]
      : [];
  });
  const [leader, another] = leaders;
  if (leader === undefined) {
    throw new UsageError("no replica of attaché leads here", {
      remedy: "Name its namespace with -n, or run `attache status` to see whether it works.",
    });
  }
  if (another !== undefined) {
    const names = leaders.map(({ namespace, name }) => `${namespace}/${name}`).join(", ");
    throw new UsageError(`there are several installations of attaché: ${names}`, {
      remedy: "Name one with -n NAMESPACE --installation NAME.",
    });
  }
  return leader;
}

function flagsOf({ kubeconfig, context, as }: ConsoleCommandOptions): string[] {
  return Object.entries({ kubeconfig, context, as }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`],
  );
}

/** Prints the address once kubectl forwards, and ends with kubectl or a signal. */
async function forward(args: readonly string[], options: ConsoleCommandOptions): Promise<void> {
  const signal = untilSignalled();
  const ports = `${options.port ?? ""}:${podPort}`;
  const kubectl = spawn("kubectl", [...args, ports], { stdio: ["ignore", "pipe", "inherit"], signal });
  const ended = new Promise<number | null>((resolve, reject) => {
    kubectl.once("exit", resolve);
    kubectl.once("error", (error) => (signal.aborted ? resolve(0) : reject(error)));
  });
  createInterface(kubectl.stdout).on("line", (line) => {
    const port = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port !== undefined) show(`http://127.0.0.1:${port}/`, options);
  });
  const status = await ended.catch((cause: unknown) => {
    throw new UsageError("kubectl cannot be started", {
      remedy: `Install kubectl, which forwards the port: kubectl ${[...args, ports].join(" ")}.`,
      cause,
    });
  });
  if (signal.aborted || status === 0) return;
  throw new UsageError("kubectl does not forward the port of the console any more, for the reason above", {
    remedy:
      "Run it again if the pod was replaced; grant `create` on pods/portforward in its namespace if that is forbidden.",
  });
}

function show(address: string, { open }: ConsoleCommandOptions): void {
  process.stdout.write(`The console: ${address}\n`);
  const { DISPLAY, WAYLAND_DISPLAY } = process.env;
  const opener = process.platform === "darwin" ? "open" : "xdg-open";
  const isSeen = opener === "open" || DISPLAY !== undefined || WAYLAND_DISPLAY !== undefined;
  if (!open || !isSeen || !process.stdout.isTTY) return;
  // Where there is no opener, the address is printed.
  spawn(opener, [address], { stdio: "ignore" })
    .once("error", () => undefined)
    .unref();
}
