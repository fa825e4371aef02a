import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildPeer } from "../../peers/build.ts";
import { startGuarded } from "../../peers/guarded.ts";
import { guarded, type Running } from "./attache.ts";
import type { FileSet } from "./reader.ts";

export interface Tool {
  readonly running: Running;
  readonly set: FileSet;
}

const files = { key: "tls.key", chain: "tls.crt", roots: "ca.crt" };

/** What many run beside a server that knows no Workload API. */
export async function startSpiffeHelper(folder: string, socketPath: string): Promise<Tool> {
  const certificates = join(folder, "certificates");
  await mkdir(certificates, { recursive: true });
  const config = join(folder, "helper.conf");
  const settings = {
    agent_address: socketPath,
    cert_dir: certificates,
    svid_file_name: files.chain,
    svid_key_file_name: files.key,
    svid_bundle_file_name: files.roots,
  };
  await writeFile(
    config,
    Object.entries(settings)
      .map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`)
      .join(""),
  );
  const program = join(await buildPeer("compare"), "spiffe-helper");
  const running = await guarded(startGuarded(program, ["-config", config]), config);
  return { running, set: { name: "spiffe-helper", folder: certificates, ...files } };
}

/** What many run beside a server that knows no Consul: a template for each file. */
export async function startConsulTemplate(folder: string, address: string, service: string): Promise<Tool> {
  const certificates = join(folder, "certificates");
  await mkdir(certificates, { recursive: true });
  const leaf = (field: string) => `{{ with caLeaf "${service}" }}{{ .${field} }}{{ end }}`;
  const contents = {
    [files.key]: leaf("PrivateKeyPEM"),
    [files.chain]: leaf("CertPEM"),
    [files.roots]: "{{ range caRoots }}{{ .RootCertPEM }}{{ end }}",
  };
  const config = join(folder, "template.json");
  await writeFile(
    config,
    JSON.stringify({
      consul: { address },
      log_level: "err",
      template: Object.entries(contents).map(([name, text]) => ({
        contents: text,
        destination: join(certificates, name),
        perms: "0600",
      })),
    }),
  );
  const program = join(await buildPeer("compare"), "consul-template");
  const running = await guarded(startGuarded(program, ["-config", config]), config);
  return { running, set: { name: "consul-template", folder: certificates, ...files } };
}
