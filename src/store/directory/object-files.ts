import { z } from "zod";
import type { Manifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { digestOf } from "../backend.ts";
import { reading } from "./file-errors.ts";
import {
  unsound,
  type FileFinding,
  type FileFormat,
  type FileFormatPorts,
  foreign,
  unparseable,
} from "./file-format.ts";
import { isPrivate } from "./folder-calls.ts";
import { manifestOf, maxManifestBytes, readDocument, writeManifest } from "./manifest-file.ts";
import type { FileChange } from "./transaction.ts";

/** Objects as YAML, a file each, that `kubectl apply` takes as they are. */
export class ObjectFiles implements FileFormat<Manifest> {
  readonly #ports: FileFormatPorts;

  constructor(ports: FileFormatPorts) {
    this.#ports = ports;
  }

  inspect(path: string): Promise<FileFinding | undefined> {
    const { files } = this.#ports;
    return reading(path, async () => {
      const there = await files.lstat(path);
      if (there === undefined) return undefined;
      if (there.kind !== "file") return foreign("it is not a plain file");
      if (there.size > maxManifestBytes) return foreign("it is too large to be attaché's");
      const { text, facts } = await files.read(path, { maxBytes: maxManifestBytes, followLinks: false });
      const document = readDocument(text)?.value ?? undefined;
      return document === undefined ? unparseable : this.#judge(path, document, facts.mode);
    });
  }

  change(path: string, manifest: Manifest): FileChange {
    return { kind: "file", path, text: writeManifest(manifest), isDurable: true };
  }

  #judge(path: string, document: unknown, mode: number): FileFinding {
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
    const content = isPrivate(mode) ? digestOf(document) : unsound;
    return { annotations, content, part: manifestOf(document) };
  }
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
