import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { start } from "../../fixtures/cli.ts";
import { cluster } from "./cluster.ts";

const connector = join(import.meta.dirname, "../../fixtures/migrate/consul-connector.yaml");
const deployments = { group: "apps", version: "v1", plural: "deployments", kind: "Deployment" } as const;

interface Given {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: object };
}

/** An Emissary that reads only what has the label `edge`. */
const emissary = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "emissary-ingress" },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: "emissary" } },
    template: {
      metadata: { labels: { app: "emissary" } },
      spec: {
        containers: [
          {
            name: "emissary",
            image: "emissary:4.1.0",
            env: [{ name: "AMBASSADOR_LABEL_SELECTOR", value: "edge=public" }],
          },
        ],
      },
    },
  },
};

it("migrate gives Secrets the labels that an Emissary in another namespace selects by", async () => {
  const { admin, namespace: makeNamespace, serviceAccount } = await cluster();
  const [namespace, other] = [await makeNamespace(), await makeNamespace()];
  const text = (await readFile(connector, "utf8")).replaceAll(
    "namespace: ambassador",
    `namespace: ${namespace}`,
  );
  const given = parseAllDocuments(text).map((document) => document.toJS() as Given);
  const context = given.find(({ kind }) => kind === "TLSContext");
  const labels = { edge: "public", team: "web" };
  await admin.create(pathOf(resources.tlsContexts, { namespace }), {
    ...context,
    metadata: { ...context?.metadata, labels },
  });
  await admin.create(
    pathOf(deployments, { namespace }),
    given.find(({ kind }) => kind === "Deployment") ?? {},
  );
  await admin.create(pathOf(deployments, { namespace: other }), emissary);
  const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["get", "list"] };
  const { kubeconfig } = await serviceAccount(namespace, "operator", [], { clusterWide: [everything] });
  const { stdout, stderr } = await start([
    "migrate",
    "-n",
    namespace,
    "-o",
    "yaml",
    "--kubeconfig",
    kubeconfig,
  ]).finished;
  expect(stderr).toBe("");
  expect(parse(stdout)).toMatchObject({ spec: { target: { labels: { edge: "public" } } } });
  expect(parse(stdout)).not.toMatchObject({ spec: { target: { labels: { team: "web" } } } });
});
