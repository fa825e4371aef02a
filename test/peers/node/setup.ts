import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { buildPeer } from "../build.ts";
import { applyDefinitions } from "../kubernetes/definitions.ts";
import { rootFileSystems, installPackages } from "./debian.ts";
import { attacheImage } from "./images.ts";
import { startNode } from "./node.ts";
import { missing } from "./requirements.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Folder of the node that all files of tests share: see node.ts. Empty if there is none. */
    node: string;
  }
}

/** Builds what a node needs, each part kept as soon as it is done, and starts it. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const reason = missing();
  if (reason !== undefined) {
    process.stderr.write(`The tests on a node are skipped: ${reason}.\n`);
    project.provide("node", "");
    return () => Promise.resolve();
  }
  await installPackages();
  for (const name of ["etcd", "kubernetes", "helm", "consul", "istio", "spire", "envoy"] as const)
    await buildPeer(name);
  for (const name of ["node/kubernetes", "node/containerd", "node/cni", "node/system"] as const)
    await buildPeer(name);
  await rootFileSystems();
  await attacheImage();
  const node = await startNode();
  project.provide("node", node.folder);
  try {
    await node.load("pause", "coredns", "consul", "attache");
    await node.apply("coredns");
    const emissary = join(import.meta.dirname, "../kubernetes/emissary-crds.yaml");
    await applyDefinitions(node.api, await readFile(emissary, "utf8"));
  } catch (error) {
    await node[Symbol.asyncDispose]();
    throw error;
  }
  return async () => node[Symbol.asyncDispose]();
}
