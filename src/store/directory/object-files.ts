import { z } from "zod";
import type { Manifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { digestOf } from "../digest.ts";
import { reading } from "./file-errors.ts";
import { type FileFacts, type Files, stampOf } from "./files.ts";
import { manifestOf, maxManifestBytes, readDocument, writeManifest } from "./manifest-file.ts";
import { type FileFinding, isPrivate, type Medium, type Role } from "./medium.ts";
import type { Replacement } from "./replacement.ts";

export interface ObjectFilesPorts {
  readonly files: Files;
  readonly replacement: Replacement;
  readonly installation: string;
}

/** Objects as YAML, a file each, that `kubectl apply` takes as they are. */
export class ObjectFiles implements Medium<Manifest> {
  readonly #ports: ObjectFilesPorts;

  constructor(ports: ObjectFilesPorts) {
    this.#ports = ports;
  }

  async stamp(path: string): Promise<string | undefined> {
    const facts = await this.#facts(path);
    return facts && stampOf(facts);
  }

  async inspect(path: string): Promise<FileFinding> {
    return (await this.#look(path)).found;
  }

  /** The manifest at `path`, if it is published for the identity of `uid`, as far as others have not damaged it. */
  async content(path: string, uid: string): Promise<Manifest | undefined> {
    const { found, document } = await this.#look(path);
    return found.kind === "ours" && found.uid === uid ? manifestOf(document) : undefined;
  }

  write(path: string, manifest: Manifest): Promise<string> {
    return this.#ports.replacement.file(path, writeManifest(manifest), { durable: true });
  }

  remove(path: string): Promise<void> {
    return this.#ports.replacement.remove(path);
  }

  #facts(path: string): Promise<FileFacts | undefined> {
    return reading(path, () => this.#ports.files.lstat(path));
  }

  async #look(path: string): Promise<{ readonly found: FileFinding; readonly document?: unknown }> {
    const refuse = (because: string) => ({ found: { kind: "foreign", because } }) as const;
    const there = await this.#facts(path);
    if (there === undefined) return { found: { kind: "nothing" } };
    if (there.kind !== "file") return refuse("it is not a plain file");
    if (there.size > maxManifestBytes) return refuse("it is too large to be attaché's");
    const options = { maxBytes: maxManifestBytes, followLinks: false };
    const { text, facts } = await reading(path, () => this.#ports.files.read(path, options));
    const document = readDocument(text)?.value ?? undefined;
    if (document === undefined) return { found: { kind: "unparseable" } };
    return { found: this.#judge(path, document, facts), document };
  }

  #judge(path: string, document: unknown, facts: FileFacts): FileFinding {
    const { data: object } = marked.safeParse(document);
    if (object === undefined) return { kind: "foreign", because: "it does not say that it is attaché's" };
    const { [ownershipAnnotations.installation]: installation, [ownershipAnnotations.identity]: uid } =
      object.metadata.annotations;
    if (installation !== this.#ports.installation) {
      return { kind: "foreign", because: `it belongs to the installation "${installation}"` };
    }
    const { namespace, name } = object.metadata;
    if (!path.endsWith(`/${namespace}/${object.kind}-${name}.yaml`)) {
      return { kind: "foreign", because: `it is a copy of ${object.kind} ${namespace}/${name}` };
    }
    return {
      kind: "ours",
      role: roleOf(object),
      uid,
      stamp: stampOf(facts),
      ...(isPrivate(facts.mode) && { digest: digestOf(document) }),
    };
  }
}

/** As much of an object as tells whose it is, however damaged it may be otherwise. */
const marked = z.object({
  kind: z.enum(["Secret", "TLSContext"]),
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    annotations: z.looseObject({
      [ownershipAnnotations.installation]: z.string(),
      [ownershipAnnotations.identity]: z.string(),
    }),
  }),
  type: z.string().optional(),
});

export function roleOf({ kind, type }: { readonly kind: string; readonly type?: unknown }): Role {
  if (kind === "TLSContext") return "context";
  return type === "Opaque" ? "ca" : "leaf";
}
