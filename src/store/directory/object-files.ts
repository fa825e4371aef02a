import { z } from "zod";
import type { Manifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { digestOf } from "../backend.ts";
import { reading } from "./file-errors.ts";
import { type FileFinding, type FileFormat, isPrivate } from "./file-format.ts";
import { type FileFacts, type Files, stampOf } from "./files.ts";
import { manifestOf, maxManifestBytes, readDocument, writeManifest } from "./manifest-file.ts";
import type { Replacement } from "./replacement.ts";

export interface ObjectFilesPorts {
  readonly files: Files;
  readonly replacement: Replacement;
  readonly installation: string;
}

/** Objects as YAML, a file each, that `kubectl apply` takes as they are. */
export class ObjectFiles implements FileFormat<Manifest> {
  readonly #ports: ObjectFilesPorts;

  constructor(ports: ObjectFilesPorts) {
    this.#ports = ports;
  }

  async stamp(path: string): Promise<string | undefined> {
    const facts = await this.#facts(path);
    return facts && stampOf(facts);
  }

  async inspect(path: string): Promise<FileFinding> {
    const there = await this.#facts(path);
    if (there === undefined) return { kind: "nothing" };
    if (there.kind !== "file") return foreign("it is not a plain file");
    if (there.size > maxManifestBytes) return foreign("it is too large to be attaché's");
    const options = { maxBytes: maxManifestBytes, followLinks: false };
    const { text, facts } = await reading(path, () => this.#ports.files.read(path, options));
    const document = readDocument(text)?.value ?? undefined;
    if (document === undefined) return { kind: "unparseable", stamp: stampOf(facts) };
    return this.#judge(path, document, facts);
  }

  write(path: string, manifest: Manifest): Promise<string> {
    return this.#ports.replacement.file(path, writeManifest(manifest), { durable: true });
  }

  remove(path: string): Promise<void> {
    return this.#ports.replacement.remove(path);
  }

  digestOf(manifest: Manifest): string {
    return digestOf(manifest);
  }

  #facts(path: string): Promise<FileFacts | undefined> {
    return reading(path, () => this.#ports.files.lstat(path));
  }

  #judge(path: string, document: unknown, facts: FileFacts): FileFinding {
    const { data: object } = marked.safeParse(document);
    if (object === undefined) return foreign("it does not say that it is attaché's");
    const { namespace, name, annotations } = object.metadata;
    const installation = annotations[ownershipAnnotations.installation];
    if (installation !== this.#ports.installation) {
      return foreign(`it belongs to the installation "${installation}"`);
    }
    if (!path.endsWith(`/${namespace}/${object.kind}-${name}.yaml`)) {
      return foreign(`it is a copy of ${object.kind} ${namespace}/${name}`);
    }
    return {
      kind: "ours",
      annotations,
      stamp: stampOf(facts),
      part: manifestOf(document),
      ...(isPrivate(facts.mode) && { digest: digestOf(document) }),
    };
  }
}

function foreign(because: string): FileFinding {
  return { kind: "foreign", because };
}

/** As much of an object as tells whose it is, however damaged it may be otherwise. */
const marked = z.object({
  kind: z.enum(["Secret", "TLSContext"]),
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    annotations: z
      .object({
        [ownershipAnnotations.installation]: z.string(),
        [ownershipAnnotations.identity]: z.string(),
      })
      .catchall(z.string()),
  }),
});
