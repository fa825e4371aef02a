import { join } from "node:path";
import { expect, it } from "vitest";
import { render } from "../../../src/render/render.ts";
import { uidOf } from "../../../src/store/directory/identities.ts";
import { retain } from "../../../src/credentials/trust-bundle.ts";
import { createDirectory } from "../../fixtures/directory.ts";
import { identity } from "../../fixtures/identity.ts";
import { createLeaf, createRoot } from "../../fixtures/pki.ts";
import { cluster } from "./cluster.ts";

const resources = { Secret: "api/v1", TLSContext: "apis/getambassador.io/v3alpha1" } as const;

it("kubectl apply takes what the directory store writes as it is, and finds nothing to change when it is applied again", async () => {
  const { admin, kubectl, namespace } = await cluster();
  const target = {
    // Strings that YAML 1.1 takes for something else.
    labels: { a: "on", b: "012", c: "1e3", d: "null", e: "1_000", f: "0x1f", "example.com/g": "" },
    tlsContext: { sni: "yes", alpnProtocols: "h2" },
  };
  const own = identity("storefront", { target });
  const metadata = { ...own.metadata, namespace: await namespace() };
  const written = {
    ...own,
    metadata: { ...metadata, uid: uidOf(`${metadata.namespace}/${metadata.name}`) },
  };
  const root = await createRoot();
  const leaf = await createLeaf(root);
  const credential = { key: leaf.key, chain: [leaf.certificate], bundle: [root.certificate] } as const;
  const retention = retain({
    listed: credential.bundle,
    published: [],
    previouslyRetained: [],
    retainMs: 0,
    now: new Date(),
  });
  const manifests = render({ identity: written, credential, retention, installation: "attache" });
  await using directory = await createDirectory();
  await using store = await directory.open();
  await store.apply(written, manifests);

  const folder = join(directory.path, metadata.namespace);
  await kubectl("apply", "-f", folder);
  for (const {
    kind,
    metadata: { name },
    ...rest
  } of manifests) {
    const path = `/${resources[kind]}/namespaces/${metadata.namespace}/${kind.toLowerCase()}s/${name}`;
    expect(await admin.get(path)).toMatchObject({ ...rest, metadata: { name, labels: target.labels } });
  }
  expect((await kubectl("apply", "-f", folder)).match(/ unchanged$/gm)).toHaveLength(3);
});
