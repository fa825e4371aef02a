import { chmod, chown, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { type Document, isMap, isScalar, parseAllDocuments } from "yaml";
import { keyOf, kind, type MeshCertificate } from "../../api/mesh-certificate.ts";
import { isJson } from "../../text/yaml/document.ts";
import { StoreError } from "../store.ts";
import { reading } from "./file-errors.ts";
import { nodeFiles } from "./files.ts";
import { IdentityFiles } from "./identity-files.ts";

/**
 * Writes an annotation into the file that has the MeshCertificate, whose other content and comments stay.
 * @returns the path of the file
 * @throws StoreError
 */
export async function annotateFile(
  sources: readonly string[],
  identity: MeshCertificate,
  annotation: string,
  value: string,
): Promise<string> {
  const paths = sources.map((source) => resolve(source));
  const { files } = await new IdentityFiles(paths, nodeFiles).look({ atOnce: true });
  const key = keyOf(identity);
  const found = files.find(({ identities }) => identities.some((one) => keyOf(one) === key));
  if (found === undefined) throw unwritable(`no file has the MeshCertificate ${key} any more`);
  const path = await reading(found.path, () => realpath(found.path));
  const text = await reading(path, () => readFile(path, "utf8"));
  await replace(path, annotated(text, { identity, annotation, value }));
  return path;
}

interface Annotation {
  readonly identity: MeshCertificate;
  readonly annotation: string;
  readonly value: string;
}

function annotated(text: string, { identity, annotation, value }: Annotation): string {
  const documents = parseAllDocuments(text);
  const places = documents.flatMap((document) =>
    placesIn(document)
      .filter((place) => isThat(document, place, identity))
      .map((place) => [document, [...place, "metadata", "annotations"]] as const),
  );
  const [found] = places;
  if (found === undefined)
    throw unwritable(
      `the MeshCertificate ${keyOf(identity)} stands in its file in a form that is not edited`,
    );
  const [document, place] = found;
  if (!isMap(document.getIn(place))) document.setIn(place, document.createNode({}));
  document.setIn([...place, annotation], value);
  if (isJson(text)) return `${JSON.stringify(document.toJS(), null, 2)}\n`;
  return documents.map((one) => one.toString({ lineWidth: 0 })).join("");
}

/** Where objects stand in a document: itself, or the items of a list. */
function placesIn(document: Document): readonly (readonly (string | number)[])[] {
  const { items } = (document.toJS() ?? {}) as { readonly items?: unknown };
  return [[], ...(Array.isArray(items) ? items.map((_, index) => ["items", index]) : [])];
}

function isThat(document: Document, place: readonly (string | number)[], identity: MeshCertificate): boolean {
  const read = (...path: readonly string[]) => {
    const found = document.getIn([...place, ...path], true);
    return isScalar(found) ? found.value : undefined;
  };
  const { name, namespace } = identity.metadata;
  return (
    read("kind") === kind &&
    read("metadata", "name") === name &&
    (read("metadata", "namespace") ?? "default") === namespace
  );
}

/** As a whole or not at all, with owner and mode. */
async function replace(path: string, text: string): Promise<void> {
  const { mode, uid, gid } = await reading(path, () => stat(path));
  const beside = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    await writeFile(beside, text, { flag: "wx" });
    await chmod(beside, mode);
    if (uid !== process.getuid?.()) await chown(beside, uid, gid);
    await rename(beside, path);
  } catch (cause) {
    await rm(beside, { force: true });
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw unwritable(`${path} cannot be written (${reason})`, cause);
  }
}

function unwritable(problem: string, cause?: unknown): StoreError {
  return new StoreError("ATTACHE_STORE_UNWRITABLE", problem, {
    cause,
    remedy: "Write the annotation into the MeshCertificate by hand, or run the command as a user who may.",
  });
}
