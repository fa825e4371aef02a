/**
 * `node test/peers/node/ingress-process.ts FOLDER NAMESPACE`, in the node of this folder: one pod of an Emissary as test/e2e
 * imitates it, on the node's address. Writes FOLDER/ingress.pid once Envoy serves; ends with SIGTERM.
 */
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startPod } from "../../e2e/pod.ts";

const [folder = "", namespace = ""] = process.argv.slice(2);
const host = "172.30.0.2";
const ended = once(process, "SIGTERM");
const ca = await readFile(join(folder, "api/apiserver.crt"), "utf8");
const pod = await startPod({
  access: { server: `https://${host}:6443`, ca, token: "admin" },
  ...{ host, port: 8080, adminPort: 8001, metricsPort: 8877 },
  folder: join(folder, "ingress"),
  ambassadorId: "default",
  namespaces: [namespace],
  reconfigMaxDelayMs: 1_000,
  envoy: "envoy",
});
await writeFile(join(folder, "ingress.pid"), String(process.pid));
await ended;
await pod[Symbol.asyncDispose]();
