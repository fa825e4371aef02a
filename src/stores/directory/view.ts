import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { keyOf, type MeshIdentity, type Status } from "../../api/mesh-identity.ts";
import { parseMeshIdentities } from "../../api/parse.ts";
import { status } from "../../api/status.ts";
import type { Manifest } from "../../render/manifest.ts";
import { targetNames } from "../../render/names.ts";
import { StoreError } from "../errors.ts";
import { Layout } from "./layout.ts";

/** An identity as somebody sees it who only looks on: what is wanted, what is reported, what is published. */
export interface IdentityView {
  readonly identity: MeshIdentity;
  /** Absent until a running attaché has looked at the identity. */
  readonly status: Status | undefined;
  manifests(): Promise<Manifest[]>;
}

export interface DirectoryView {
  readonly path: string;
  /** Files and folders of MeshIdentities. */
  readonly identities: readonly string[];
}

/**
 * All identities of a directory store, sorted by namespace and name. Takes no lock, and so works beside `attache run`.
 * @throws DocumentError, StoreError if the MeshIdentities cannot be read.
 */
export async function viewDirectory({ path, identities }: DirectoryView): Promise<IdentityView[]> {
  const layout = new Layout(path);
  const files = (await Promise.all(identities.map(yamlFiles))).flat();
  const found = await Promise.all(files.map(async (file) => parseMeshIdentities(await read(file), file)));
  return Promise.all(
    found
      .flat()
      .toSorted((one, other) => keyOf(one).localeCompare(keyOf(other)))
      .map(async (identity) => ({
        identity,
        status: statusIn(await readIfThere(layout.status(identity))),
        manifests: () => readManifests(identity, layout),
      })),
  );
}

async function yamlFiles(source: string): Promise<string[]> {
  const facts = await stat(source).catch((cause: unknown) => {
    throw new StoreError("ATTACHE_STORE_UNREADABLE", `there is nothing at ${source}`, { cause });
  });
  if (!facts.isDirectory()) return [source];
  const names = await readdir(source);
  return names.filter((name) => /^[^.].*\.ya?ml$/.test(name)).map((name) => join(source, name));
}

async function readManifests(identity: MeshIdentity, layout: Layout): Promise<Manifest[]> {
  const { namespace } = identity.metadata;
  const { secret, caSecret, tlsContext } = targetNames(identity);
  const folder = layout.namespace(namespace);
  const files = [`Secret-${caSecret}.yaml`, `Secret-${secret}.yaml`, `TLSContext-${tlsContext}.yaml`];
  const texts = await Promise.all(files.map((file) => readIfThere(join(folder, file))));
  return texts.flatMap((text) => (text === undefined ? [] : (parse(text) as Manifest)));
}

function statusIn(text: string | undefined): Status | undefined {
  const document = text === undefined ? undefined : (parse(text) as { readonly status?: unknown } | null);
  return status.safeParse(document?.status).data;
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new StoreError("ATTACHE_STORE_UNREADABLE", `cannot read ${path}`, { cause });
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new StoreError("ATTACHE_STORE_UNREADABLE", `cannot read ${path}`, { cause });
  }
}
