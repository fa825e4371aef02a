import { hash } from "node:crypto";
import { type Code, codes } from "../errors/codes.ts";
import type { KubeClient, TextClient } from "../kube/client.ts";
import { pathOf, resources } from "../kube/resources.ts";
import type { Check } from "../mesh/port.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { checked } from "./checked.ts";
import type { Replica } from "./replicas.ts";

interface ReplicaCheckOptions {
  readonly api: KubeClient & TextClient;
  readonly replicas: readonly Replica[];
  /** The text of the settings file in the ConfigMap; `undefined` if it is not known. */
  readonly wanted: string | undefined;
  readonly clockSkewMs: number;
  /** Of this doctor. */
  readonly version: string;
}

/** What attaché's own pods say of themselves, through the API server. */
export async function replicaChecks(options: ReplicaCheckOptions): Promise<Check[]> {
  const checks = options.replicas.map(async (replica) =>
    replica.waiting === undefined
      ? checked(nameOf(replica), () => answersOf(replica, options))
      : [stopped(replica, replica.waiting)],
  );
  return [...(await Promise.all(checks)).flat(), ...versions(options)];
}

function nameOf({ namespace, name }: Replica): string {
  return `replica ${namespace}/${name}`;
}

function stopped(replica: Replica, waiting: string): Check {
  const { namespace, name, restarts } = replica;
  return {
    name: nameOf(replica),
    status: "failed",
    message: `does not run: ${sanitizePeerText(waiting)}, ${restarts} restarts`,
    remedy: `Look at it: kubectl -n ${namespace} describe pod ${name}; kubectl -n ${namespace} logs ${name} --previous`,
  };
}

async function answersOf(
  replica: Replica,
  { api, wanted, clockSkewMs }: ReplicaCheckOptions,
): Promise<Check[]> {
  const { namespace, name, port, restarts } = replica;
  const pod = pathOf(resources.pods, { namespace, name: `${name}:${port}` });
  const answer = await api.text({ path: `${pod}/proxy/readyz`, query: { verbose: "" } });
  const lines = answer.text.split("\n").map((line) => sanitizePeerText(line));
  const reasons = lines.filter((line) => line.startsWith("[-]")).map((line) => line.slice(4));
  const notes = lines.filter((line) => line.startsWith("[!]")).map((line) => line.slice(4));
  const isReady = answer.status === 200;
  const ready: Check = isReady
    ? { name: nameOf(replica), status: "ok", message: `is ready, ${restarts} restarts` }
    : {
        name: nameOf(replica),
        status: "failed",
        message: `is not ready: ${reasons.join("; ") || `readyz has status ${answer.status}`}`,
        remedy: `Look at its log: kubectl -n ${namespace} logs ${name}`,
      };
  // The answer has taken part of a request's time, and both clocks are in whole seconds.
  const offMs = Math.abs((answer.aheadMs ?? 0) - (api.aheadMs ?? 0));
  const clock: Check = {
    name: `clock of ${name}`,
    status: "failed",
    message: `differs from that of the API server by ${Math.round(offMs / 1_000)} s`,
    remedy: "Set the clock of its node: leaves are judged by it.",
  };
  return [
    ready,
    ...(offMs > Math.max(clockSkewMs, 2_000) ? [clock] : []),
    ...notes.flatMap((note) => noteCheck(note, replica)),
    ...settingsChecks(notes, replica, wanted),
  ];
}

/** Of what shows nowhere else: identities have a status. */
function noteCheck(note: string, { namespace, name: pod }: Replica): Check[] {
  const [, what = "", is = ""] = /^((?:mesh|watch of) [^:]+): (.*)$/.exec(note) ?? [];
  if (what === "") return [];
  const code = /ATTACHE_\w+/.exec(is)?.[0] ?? "";
  const remedy = Object.hasOwn(codes, code)
    ? codes[code as Code].remedy
    : `Look at its log: kubectl -n ${namespace} logs ${pod}`;
  const isFailed = is.startsWith("disconnected") || is.startsWith("failing");
  return [
    { name: what, status: isFailed ? "failed" : "warning", message: `${is}, as ${pod} reports`, remedy },
  ];
}

function settingsChecks(notes: readonly string[], replica: Replica, wanted: string | undefined): Check[] {
  const name = "settings";
  const { namespace, name: pod, settings } = replica;
  const refused = notes.find((note) => note.startsWith("settings: refused"));
  if (refused !== undefined) {
    const remedy = `Correct them; the Event says what is wrong: kubectl -n ${namespace} describe pod ${pod}`;
    return [{ name, status: "failed", message: `${refused.slice(10)}, in ${pod}`, remedy }];
  }
  const [, digest] = /sha256:([0-9a-f]+)/.exec(notes.join("\n")) ?? [];
  if (wanted === undefined || digest === undefined || settings === undefined) return [];
  const map = `the ConfigMap ${namespace}/${settings.configMap}`;
  if (digest === hash("sha256", wanted))
    return [{ name, status: "ok", message: `${pod} has those of ${map} in force` }];
  return [
    {
      name,
      status: "warning",
      message: `${pod} has other settings in force than ${map}`,
      remedy:
        "Wait two minutes for the kubelet to deliver a change, and run the doctor again; if it stays, restart the pod.",
    },
  ];
}

function versions({ replicas, version }: ReplicaCheckOptions): Check[] {
  const name = "versions";
  const images = [...new Set(replicas.map(({ image }) => sanitizePeerText(image)))];
  if (images.length > 1) {
    const remedy = "Wait for the rollout to end, or look why it does not: kubectl rollout status deployment.";
    return [{ name, status: "warning", message: `replicas run ${images.join(" and ")}`, remedy }];
  }
  const others = replicas.flatMap((one) => one.version ?? []).filter((one) => one !== version);
  const [other] = others;
  if (other === undefined) return [];
  const message = `attaché is of version ${sanitizePeerText(other)}, this doctor of ${version}`;
  return [{ name, status: "warning", message, remedy: "Use the doctor of its version for exact answers." }];
}
