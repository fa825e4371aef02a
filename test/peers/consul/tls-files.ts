import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createLeaf, createRoot, type Issued } from "../../fixtures/pki.ts";

/** Paths of PEM files, for a server as Consul's operators set it up and for its clients. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export const serverName = "server.dc1.consul";

/** Certificates of one CA in `folder`: of the server, and of a client. */
export async function writeTlsFiles(folder: string): Promise<{ server: TlsFiles; client: TlsFiles }> {
  const ca = await createRoot();
  const caFile = join(folder, "ca.pem");
  await writeFile(caFile, ca.pem);

  async function write(name: string, leaf: Issued): Promise<TlsFiles> {
    const [certFile, keyFile] = [join(folder, `${name}.pem`), join(folder, `${name}-key.pem`)];
    await writeFile(certFile, leaf.pem);
    await writeFile(keyFile, leaf.keyPem, { mode: 0o600 });
    return { caFile, certFile, keyFile };
  }

  return {
    server: await write("server", await createLeaf(ca, { uris: [], dns: [serverName] })),
    client: await write("client", await createLeaf(ca, { uris: [], dns: ["attache"] })),
  };
}
