import { resolve } from "node:path";
import { keyOf, type MeshCertificate } from "../../api/mesh-certificate.ts";
import type { Manifest } from "../../render/manifest.ts";
import { targetObjects } from "../../render/names.ts";
import type { StoreView } from "../store.ts";
import { reading } from "./file-errors.ts";
import { type Files, forEachFile, nodeFiles, readPlainFile } from "./files.ts";
import { gather } from "./identities.ts";
import { IdentityFiles } from "./identity-files.ts";
import { Layout } from "./layout.ts";
import { manifestOf, maxManifestBytes, readDocument } from "./manifest-file.ts";
import { readStatusFile } from "./status-files.ts";

export interface DirectoryViewOptions {
  readonly path: string;
  /** Files and folders of MeshCertificates. */
  readonly identities: readonly string[];
}

/**
 * What is in a directory store. Takes no lock, and so works beside `attache run`; what is damaged counts as
 * absent.
 */
export async function viewDirectory({ path, identities }: DirectoryViewOptions): Promise<StoreView> {
  const files = nodeFiles;
  const layout = new Layout(path);
  const sources = identities.map((source) => resolve(source));
  const { found, problems } = gather(await new IdentityFiles(sources, files).look({ atOnce: true }));
  const ordered = [...found.values()].toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
  const views = await forEachFile(ordered, async (identity) => ({
    identity,
    installations: [],
    status: (await readStatusFile(identity, layout, files))?.status,
    manifests: () => readManifests(identity, layout, files),
  }));
  return { views, problems: [...problems.values()] };
}

async function readManifests(identity: MeshCertificate, layout: Layout, files: Files): Promise<Manifest[]> {
  const read = await forEachFile(targetObjects(identity), async (ref) => {
    const path = layout.path(ref);
    const file = await reading(path, () => readPlainFile(files, path, maxManifestBytes));
    return manifestOf(readDocument(file?.text ?? "")?.value);
  });
  return read.filter((manifest) => manifest !== undefined);
}
