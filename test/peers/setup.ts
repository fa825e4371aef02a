import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { TestProject } from "vitest/node";
import { buildPeer } from "./build.ts";
import { installDefinitions } from "./kubernetes/definitions.ts";
import { type ControlPlane, startControlPlane } from "./kubernetes/control-plane.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Path of the program. */
    consul: string;
    /** Folder of the programs. */
    spire: string;
    /** Folder of the programs. */
    istio: string;
    /** Where the test processes ask for the cluster that all of them share: see kubernetes/cluster.ts. */
    sharedCluster: string;
  }
}

/**
 * What all peer tests need before they start. Each test file starts its own servers, but for the Kubernetes
 * cluster, which all share: it starts when the first file asks for it, and ends with the run.
 */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  project.provide("consul", `${await buildPeer("consul")}/consul`);
  project.provide("spire", await buildPeer("spire"));
  project.provide("istio", await buildPeer("istio"));

  let started: Promise<ControlPlane> | undefined;
  const desk = createServer((_request, response) => {
    started ??= start();
    started.then(
      ({ access }) => response.end(JSON.stringify(access)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  }).listen(0, "127.0.0.1");
  await once(desk, "listening");
  project.provide("sharedCluster", `http://127.0.0.1:${(desk.address() as AddressInfo).port}`);

  return async () => {
    desk.close();
    const cluster = await started?.catch(() => undefined);
    await cluster?.[Symbol.asyncDispose]();
  };
}

async function start(): Promise<ControlPlane> {
  const cluster = await startControlPlane({ controllers: true });
  await installDefinitions(cluster.admin);
  return cluster;
}
