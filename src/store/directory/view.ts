import { join, resolve } from "node:path";
import { keyOf, type MeshCertificate, type Status } from "../../api/mesh-certificate.ts";
import { status } from "../../api/status.ts";
import type { Manifest } from "../../render/manifest.ts";
import { targetNames } from "../../render/names.ts";
import { Semaphore } from "../../runtime/semaphore.ts";
import type { StoreView } from "../store.ts";
import { StoreError } from "../store.ts";
import { reading } from "./file-errors.ts";
import { type Files, nodeFiles, readPlainFile } from "./files.ts";
import { gather } from "./identities.ts";
import { type IdentityFile, maxIdentityFileBytes, parseIdentities } from "./identity-files.ts";
import { dangling, IdentitySources, unreadable } from "./identity-sources.ts";
import { Layout } from "./layout.ts";
import { manifestOf, maxManifestBytes, readDocument } from "./manifest-file.ts";

export interface DirectoryViewOptions {
  readonly path: string;
  /** Files and folders of MeshCertificates. */
  readonly identities: readonly string[];
}

/** Files that are read at the same time. */
const readers = 8;

/**
 * What is in a directory store. Takes no lock, and so works beside `attache run`; what is damaged counts as
 * absent.
 */
export async function viewDirectory({ path, identities }: DirectoryViewOptions): Promise<StoreView> {
  const files = nodeFiles;
  const layout = new Layout(path);
  const semaphore = new Semaphore(readers);
  const sources = identities.map((source) => resolve(source));
  const { stamps, away } = await new IdentitySources(sources, files, semaphore).look();
  const problems = new Map(away);
  const read = await semaphore.map(stamps, async ([file, stamp]): Promise<IdentityFile> => {
    try {
      return { path: file, identities: await identitiesIn(file, stamp, files) };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      problems.set(file, error);
      return { path: file, identities: [] };
    }
  });
  const sorted = read.toSorted((one, other) => (one.path < other.path ? -1 : 1));
  const { found, problems: all } = gather({ files: sorted, problems });
  const ordered = [...found.values()].toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
  const views = await semaphore.map(ordered, async (identity) => ({
    identity,
    status: statusIn(await textOf(layout.status(identity), files)),
    manifests: () => readManifests(identity, layout, files),
  }));
  return { views, problems: [...all.values()] };
}

async function identitiesIn(path: string, stamp: string, files: Files): Promise<readonly MeshCertificate[]> {
  if (stamp === dangling) throw unreadable(`${path} is a link that leads nowhere`);
  const options = { maxBytes: maxIdentityFileBytes, followLinks: true };
  const { text } = await reading(path, () => files.read(path, options));
  return parseIdentities(text, path);
}

async function readManifests(identity: MeshCertificate, layout: Layout, files: Files): Promise<Manifest[]> {
  const { secret, caSecret, tlsContext } = targetNames(identity);
  const names = [`Secret-${caSecret}.yaml`, `Secret-${secret}.yaml`, `TLSContext-${tlsContext}.yaml`];
  const folder = layout.namespace(identity.metadata.namespace);
  const texts = await Promise.all(names.map((name) => textOf(join(folder, name), files)));
  return texts.flatMap((text) => manifestOf(readDocument(text)?.value) ?? []);
}

function statusIn(text: string): Status | undefined {
  const document = readDocument(text)?.value;
  const isObject = typeof document === "object" && document !== null;
  return isObject && "status" in document ? status.safeParse(document.status).data : undefined;
}

/** Empty if no plain file is there. */
async function textOf(path: string, files: Files): Promise<string> {
  const read = await reading(path, () => readPlainFile(files, path, maxManifestBytes));
  return read?.text ?? "";
}
