import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { buildPeer } from "../build.ts";
import type { Resource } from "./rest.ts";

const chart = join(import.meta.dirname, "../../../deploy/helm/attache");

/** What the chart renders, by the real helm; CRDs are not among it. @throws Error with what helm says */
export async function render(release: string, namespace: string, values: object): Promise<Resource[]> {
  const helm = join(await buildPeer("helm"), "helm");
  const child = promisify(execFile)(helm, ["template", release, chart, "-n", namespace, "-f", "-"]);
  child.child.stdin?.end(JSON.stringify(values));
  const { stdout } = await child;
  return parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Resource | null) ?? []);
}
