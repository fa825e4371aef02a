import { createPrivateKey, createPublicKey } from "node:crypto";
import { watch } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { assembleCredential } from "../../../src/credentials/assemble.ts";
import type { Certificate } from "../../../src/credentials/certificate.ts";
import { parseCertificates } from "../../../src/credentials/certificates.ts";
import { createCsr } from "../../../src/credentials/csr.ts";
import { generateKey } from "../../../src/credentials/keys.ts";
import type { Adapter, Credential } from "../../../src/mesh/adapter.ts";
import { readCsr } from "../../../src/mesh/development/csr.ts";
import { LatestValue } from "../../../src/runtime/latest-value.ts";
import { Semaphore } from "../../../src/runtime/semaphore.ts";
import { createLeaf, type Issued } from "../../fixtures/pki.ts";
import { uriOf } from "../prepared-mesh.ts";

/**
 * A mesh that signs in the process of attaché, as cert-manager's CA issuer signs in that of cert-manager: each leaf costs
 * a key, a CSR that is checked, and a signature, all ECDSA. A file of the benchmark orders new leaves and roots.
 */
export const adapter: Adapter<{ directory: string }, { service: string }> = {
  kind: "signing",
  settings: z.strictObject({ directory: z.string() }),
  identity: z.strictObject({ service: z.string() }),
  defaults: { retainMs: 0 },
  expected: ({ service }) => uriOf(service),
  async connect({ directory }, context) {
    const orders = new LatestValue<Order>();
    orders.publish(await readOrder(directory));
    const watcher = watch(directory, (_event, name) => {
      if (name === orderFile) void readOrder(directory).then((order) => orders.publish(order));
    });
    context.connection({ connected: true });
    return {
      async *watch({ service }, { signal, current }) {
        let credential = current;
        let { generation = 0 } = orders.value ?? {};
        for await (const order of orders.subscribe(signal)) {
          credential =
            credential !== undefined && order.generation === generation
              ? { ...credential, bundle: order.roots }
              : await few.run(() => sign(service, order));
          generation = order.generation;
          yield credential;
        }
      },
      check: () => Promise.resolve([]),
      [Symbol.asyncDispose]() {
        watcher.close();
        return Promise.resolve();
      },
    };
  },
};

const orderFile = "order.json";

/** Answers of a mesh come one after the other. */
const few = new Semaphore(8);

interface Order {
  /** With each number, each identity gets a new leaf. */
  readonly generation: number;
  readonly issuer: Pick<Issued, "keys" | "subject">;
  readonly roots: readonly Certificate[];
}

/** Has the mesh renew all leaves when `generation` changes. @param roots the first one signs */
export async function giveOrder(
  directory: string,
  generation: number,
  roots: readonly [Issued, ...Issued[]],
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const [{ keyPem, subject }] = roots;
  const bundle = roots.map(({ pem }) => pem).join("");
  const unfinished = join(directory, "unfinished.json");
  await writeFile(unfinished, JSON.stringify({ generation, keyPem, subject, bundle }));
  await rename(unfinished, join(directory, orderFile));
}

async function readOrder(directory: string): Promise<Order> {
  const text = await readFile(join(directory, orderFile), "utf8");
  const { generation, keyPem, subject, bundle } = JSON.parse(text) as {
    readonly generation: number;
    readonly keyPem: string;
    readonly subject: string;
    readonly bundle: string;
  };
  const privateKey = createPrivateKey(keyPem);
  const keys = { privateKey, publicKey: createPublicKey(privateKey) };
  return { generation, issuer: { keys, subject }, roots: parseCertificates(bundle) };
}

async function sign(service: string, { issuer, roots }: Order): Promise<Credential> {
  const key = await generateKey();
  const uri = uriOf(service);
  const { publicKey } = readCsr(await createCsr(key, uri));
  const leaf = await createLeaf(issuer, { uris: [uri], keys: { privateKey: key, publicKey } });
  return assembleCredential({ key, certificates: [leaf.certificate], bundle: roots, now: new Date() });
}
