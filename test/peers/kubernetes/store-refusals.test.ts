import { describe, expect, it, vi } from "vitest";
import { ApiError, type ApiErrorCode } from "../../../src/kube/api-error.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { cluster } from "./cluster.ts";
import { reconcile } from "./reconciled.ts";
import { runStore } from "./store-run.ts";

const refusals: readonly [ApiErrorCode, number][] = [
  ["ATTACHE_KUBERNETES_CONFLICT", 409],
  ["ATTACHE_KUBERNETES_INVALID", 422],
  ["ATTACHE_KUBERNETES_THROTTLED", 429],
  ["ATTACHE_KUBERNETES_UNAVAILABLE", 500],
  ["ATTACHE_KUBERNETES_TIMEOUT", 0],
];

describe("a write that comes to nothing", () => {
  for (const [code, status] of refusals) {
    it.each([0, 1, 2, 3])(
      `(${code}), after %i others: the next apply completes the target`,
      async (count) => {
        await using run = await runStore(await cluster());
        const identity = await run.put("storefront");
        const target = targetOf(identity, "1");
        let writes = 0;
        run.peer.intercept = ({ method }) => {
          if (method !== "GET" && writes++ >= count && writes < count + 4) throw refusal(code, status);
        };
        await expect(run.store.apply(identity, target)).rejects.toThrow(code);
        run.peer.intercept = () => undefined;
        const written = run.peer.changes().length;
        expect(await run.store.apply(identity, target)).toEqual({ writes: 3 - written });
        expect(await run.store.apply(identity, target)).toEqual({ writes: 0 });
        expect(run.peer.changes()).toEqual([
          "+Secret/storefront-mesh-ca",
          "+Secret/storefront-mesh-cert",
          "+TLSContext/storefront",
        ]);
      },
    );
  }

  it.each(["POST", "PATCH"])(
    "(answer of a %s lost): what was written all the same is not written again",
    async (lost) => {
      await using run = await runStore(await cluster());
      const identity = await run.put("storefront");
      if (lost === "PATCH") await run.store.apply(identity, targetOf(identity, "1"));
      const target = targetOf(identity, "2");
      run.peer.afterwards = ({ method, path }) => {
        if (method === lost && path.includes("/secrets")) throw refusal("ATTACHE_KUBERNETES_TIMEOUT", 0);
      };
      await expect(run.store.apply(identity, target)).rejects.toThrow("ATTACHE_KUBERNETES_TIMEOUT");
      run.peer.afterwards = () => undefined;
      await run.store.apply(identity, target);
      const roots = run.peer.changes().filter((change) => change === "+Secret/storefront-mesh-ca");
      expect(roots).toHaveLength(lost === "PATCH" ? 2 : 1);
    },
  );
});

function refusal(code: ApiErrorCode, status: number): ApiError {
  return new ApiError(code, "the test says no", status === 0 ? {} : { status });
}

describe("a cluster that refuses what is to be published", () => {
  it.concurrent("for a quota: the status says so, and it is published once there is room", async () => {
    await using run = await reconcile(await cluster());
    const { kubectl } = run.cluster;
    const { namespace } = run;
    await kubectl("-n", namespace, "create", "quota", "none", "--hard=count/secrets=0");
    await kubectl("-n", namespace, "wait", "quota/none", "--for=jsonpath={.status.hard}", "--timeout=30s");
    await run.put();
    const { message } = await run.until("Published", "False/Quota");
    expect(message).toMatch(/exceeded quota: none.*Raise the quota/s);
    await run.until("Ready", "False/NotPublished");
    await kubectl("-n", namespace, "delete", "quota", "none");
    await run.until("Published", "True/Published");
    await run.until("Ready", "True/Valid");
  });

  it.concurrent("for a policy against our TLSContext: Secrets stay as they are, and it heals", async () => {
    await using run = await reconcile(await cluster());
    const { admin } = run.cluster;
    const undo = await forbidContexts(run);
    await run.put();
    const { message } = await run.until("Published", "False/Denied");
    expect(message).toMatch(/contexts need a ticket.*Change the MeshCertificate so that/s);
    expect(run.peer.changes()).toEqual(["+Secret/storefront-mesh-ca", "+Secret/storefront-mesh-cert"]);
    await undo();
    await run.until("Published", "True/Published");
    await admin.get(pathOf(resources.tlsContexts, { namespace: run.namespace, name: "storefront" }));
  });

  it.concurrent("for the size of a Secret: the last good one stays", async () => {
    await using run = await runStore(await cluster());
    const identity = await run.put("storefront");
    const good = targetOf(identity, "1");
    await run.store.apply(identity, good);
    const [ca, ...rest] = good;
    if (ca.kind !== "Secret") throw new Error("the first is the CA Secret");
    const roots = (bytes: number) => ({
      ...ca,
      data: { "tls.crt": Buffer.alloc(bytes, "r").toString("base64") },
    });
    await expect(run.store.apply(identity, [roots(1024 * 1024 + 1), ...rest])).rejects.toThrow(
      /ATTACHE_KUBERNETES_INVALID: .*Too long: may not be more than 1048576 bytes/s,
    );
    expect(await run.peer.objects()).toEqual(expect.arrayContaining(good));
    // As long as it may be.
    expect(await run.store.apply(identity, [roots(1024 * 1024), ...rest])).toEqual({ writes: 1 });
    expect(await run.store.apply(identity, [roots(1024 * 1024), ...rest])).toEqual({ writes: 0 });
    await run.restart();
    const { identity: again } = await run.events.next("identity");
    await run.store.read(again);
    expect(await run.store.apply(again, [roots(1024 * 1024), ...rest])).toEqual({ writes: 0 });
  });
});

/** A ValidatingAdmissionPolicy that refuses TLSContexts in the namespace; returns once it is in force. */
async function forbidContexts({ cluster: { admin }, namespace }: Awaited<ReturnType<typeof reconcile>>) {
  const admission = "/apis/admissionregistration.k8s.io/v1";
  const name = `tickets.${namespace}.example.com`;
  const policies = `${admission}/validatingadmissionpolicies`;
  const bindings = `${admission}/validatingadmissionpolicybindings`;
  await admin.create(policies, {
    metadata: { name },
    spec: {
      failurePolicy: "Fail",
      matchConstraints: {
        resourceRules: [
          {
            apiGroups: ["getambassador.io"],
            apiVersions: ["*"],
            operations: ["CREATE", "UPDATE"],
            resources: ["tlscontexts"],
          },
        ],
      },
      validations: [{ expression: "false", message: "contexts need a ticket" }],
    },
  });
  await admin.create(bindings, {
    metadata: { name },
    spec: {
      policyName: name,
      validationActions: ["Deny"],
      matchResources: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } },
    },
  });
  const probe = { apiVersion: "getambassador.io/v3alpha1", kind: "TLSContext", metadata: { name: "probe" } };
  const path = `${pathOf(resources.tlsContexts, { namespace })}?dryRun=All`;
  await vi.waitFor(async () => expect((await admin.call("POST", path, probe)).status).not.toBe(201), 30_000);
  return async () => {
    await admin.delete(`${bindings}/${name}`);
    await admin.delete(`${policies}/${name}`);
  };
}
