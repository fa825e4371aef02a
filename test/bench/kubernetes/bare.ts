/**
 * `bare.ts FOLDER COUNT LABEL`: sends, on as many connections as attaché has and by a client that does
 * nothing else, the objects of so many identities, and then those of others with all that an identity costs
 * besides: finalizer and status. Prints the seconds, and the CPU time of the latter.
 */
import { pathOf, type Resource, resources } from "../../../src/kube/resources.ts";
import { apply, connect, cpuSecondsSince, onAll } from "./client.ts";

interface Stored {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly status?: object;
}

const [folder = "", countText = "0", label = ""] = process.argv.slice(2);
const count = Number(countText);
const namespace = "bare";
/** What attaché has published there is what is sent. */
const model = { namespace: "warm", name: "svc-0" };

await using client = await connect(folder);
const kinds: readonly (readonly [Resource, string])[] = [
  [resources.secrets, "svc-0-mesh-ca"],
  [resources.secrets, "svc-0-mesh-cert"],
  [resources.tlsContexts, "warm-svc-0"],
];
const objects = await Promise.all(
  kinds.map(async ([resource, name]) => ({
    resource,
    object: await read(resource, name),
  })),
);
const identity = await read(resources.meshCertificates, model.name);

const objectsSeconds = await seconds((index) => publish(`objects-${label}-${index}`));
await onAll(count, async (index) => {
  const name = `requests-${label}-${index}`;
  const { metadata: _, status: __, ...rest } = identity;
  await client.send("POST", pathOf(resources.meshCertificates, { namespace }), {
    ...rest,
    metadata: { namespace, name },
  });
});
const cpuBefore = process.cpuUsage();
const requestsSeconds = await seconds(async (index) => {
  const name = `requests-${label}-${index}`;
  const applied = (part: object) => ({
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    ...part,
  });
  const path = pathOf(resources.meshCertificates, { namespace, name });
  const query = "?fieldManager=bare&force=true";
  const finalizers = ["bench.attache.dev/bare"];
  await client.send("PATCH", path + query, applied({ metadata: { name, namespace, finalizers } }), apply);
  await publish(name);
  const { status } = identity;
  await client.send(
    "PATCH",
    `${path}/status${query}`,
    applied({ metadata: { name, namespace }, status }),
    apply,
  );
});
const cpuSeconds = cpuSecondsSince(cpuBefore);
// attaché watches all contexts: what was sent here is nothing that it should be measured
// with.
await client.send("DELETE", pathOf(resources.tlsContexts, { namespace }));
process.stdout.write(JSON.stringify({ objectsSeconds, requestsSeconds, cpuSeconds }));

async function publish(name: string): Promise<void> {
  for (const { resource, object } of objects) {
    const metadata = { ...object.metadata, namespace, name: object.metadata.name.replace(model.name, name) };
    await client.send("POST", pathOf(resource, { namespace }), { ...object, metadata });
  }
}

async function read(resource: Resource, name: string): Promise<Stored> {
  const path = pathOf(resource, { namespace: model.namespace, name });
  const { metadata, ...rest } = JSON.parse(await client.send("GET", path)) as Stored & { metadata: object };
  const { labels, annotations } = metadata as { labels?: object; annotations?: object };
  return { ...rest, metadata: { name, labels, annotations } } as Stored;
}

async function seconds(work: (index: number) => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await onAll(count, work);
  return (performance.now() - startedAt) / 1_000;
}
