import { afterAll, beforeAll, expect, it } from "vitest";
import type { Credential } from "../../../src/mesh/adapter.ts";
import { echoByNode, echoByOpenssl, line, pemsOf } from "../mtls.ts";
import { startAgent } from "./agent.ts";
import { type Bearer, namespace, prepareBearer } from "./bearer.ts";
import { type Istiod, startIstiod } from "./istiod.ts";
import { connect, firstOf } from "./mesh.ts";
import { startUpstream } from "./upstream.ts";

/**
 * The usual installation: no CA is plugged in, and leaves are directly under the root. Of a revision, and not
 * the only cluster.
 */
let istiod: Istiod;
let bearer: Bearer;

beforeAll(async () => {
  istiod = await startIstiod({ isSelfSigned: true, env: { REVISION: "canary", CLUSTER_ID: "east" } });
  bearer = await prepareBearer(istiod.cluster);
});

afterAll(() => istiod[Symbol.asyncDispose]());

it("an istiod with a root of its own gives what its workloads accept, by way of the agent and by itself", async () => {
  await istiod.cluster.serviceAccount(namespace, "web", []);
  await using agent = await startAgent(istiod, { namespace, serviceAccount: "attache", secretTtl: "1h" });
  await using web = await startUpstream(istiod, namespace, "web");
  const address = `127.0.0.1:${istiod.port}`;
  for (const settings of [
    { socket: agent.socket },
    { mode: "files", directory: agent.outputCerts },
    { mode: "istiod", address, serverName: "istiod-canary.istio-system.svc", clusterId: "east" },
  ]) {
    const credential = await first(settings);
    expect(credential.chain).toHaveLength(1);
    expect(credential.bundle).toHaveLength(1);
    for (const echo of [echoByNode, echoByOpenssl]) {
      expect(await echo(web.port, pemsOf(credential), web.id)).toBe(line);
    }
  }
});

async function first(settings: { readonly mode?: string }): Promise<Credential> {
  await using mesh = await connect(settings, { cluster: bearer.cluster });
  const serviceAccount = settings.mode === "istiod" ? "edge" : "attache";
  return await firstOf(mesh, { serviceAccount }, { serviceAccountToken: bearer.mint });
}
