import { basename, join } from "node:path";
import { z } from "zod";
import type { Manifest, SecretManifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { digestOf, type PemSetManifest } from "../backend.ts";
import type { IdentityRef } from "../store.ts";
import { reading, writing } from "./file-errors.ts";
import { type FileFinding, type FileFormat, isPrivate } from "./file-format.ts";
import { type FileFacts, type Files, isFileError, readPlainFile, stampOf } from "./files.ts";
import { pemPrefix } from "./layout.ts";
import { maxManifestBytes, readDocument } from "./manifest-file.ts";
import type { PrivateFolders } from "./private-folders.ts";
import type { Replacement } from "./replacement.ts";

const pemFiles = ["tls.key", "tls.crt", "ca.crt"] as const;

/** The set that a target's two Secrets amount to; nothing if it has not both. */
export function pemSetOf(
  { metadata: { namespace, name } }: IdentityRef,
  manifests: readonly Manifest[],
): PemSetManifest | undefined {
  const secrets = manifests.filter((manifest): manifest is SecretManifest => manifest.kind === "Secret");
  const leaf = secrets.find(({ type }) => type === "kubernetes.io/tls");
  const ca = secrets.find(({ type }) => type === "Opaque");
  if (leaf === undefined || ca === undefined) return undefined;
  const text = ({ data }: SecretManifest, key: string) => Buffer.from(data[key] ?? "", "base64").toString();
  return {
    kind: "PemSet",
    metadata: { ...leaf.metadata, namespace, name },
    data: {
      "tls.key": text(leaf, "tls.key"),
      "tls.crt": text(leaf, "tls.crt"),
      "ca.crt": text(ca, "tls.crt"),
    },
  };
}

export interface PemSetsPorts {
  readonly files: Files;
  readonly folders: PrivateFolders;
  readonly replacement: Replacement;
  readonly installation: string;
}

/**
 * PEM sets that no reader ever sees torn:
 *
 *     pem-storefront/
 *       current -> gen-7         swapped by one rename, once gen-7 is complete and on the disk
 *       gen-6/                   kept for readers that went in before the swap
 *       gen-7/ tls.key tls.crt ca.crt .attache.json
 */
export class PemSets implements FileFormat<PemSetManifest> {
  readonly #ports: PemSetsPorts;

  constructor(ports: PemSetsPorts) {
    this.#ports = ports;
  }

  async stamp(path: string): Promise<string | undefined> {
    const { files } = this.#ports;
    return reading(path, async () => {
      const folder = await files.lstat(path);
      if (folder?.kind !== "folder") return folder && stampOf(folder);
      const generation = join(path, (await this.#current(path)) ?? "");
      const inside = [
        join(path, "current"),
        generation,
        ...[...pemFiles, mark].map((name) => join(generation, name)),
      ];
      const facts = await Promise.all(inside.map((one) => files.lstat(one)));
      return [folder.mode, ...facts.map((one) => (one ? stampOf(one) : "none"))].join(" ");
    });
  }

  async inspect(path: string): Promise<FileFinding> {
    const { files, installation } = this.#ports;
    return reading(path, async () => {
      const folder = await files.lstat(path);
      if (folder === undefined) return { kind: "nothing" };
      if (folder.kind !== "folder") return { kind: "foreign", because: "it is not a folder" };
      const names = await files.list(path);
      const strange = names.find((name) => name !== "current" && numberOf(name) === undefined);
      if (strange !== undefined) return { kind: "foreign", because: `it holds "${strange}"` };
      const generation = (await this.#current(path)) ?? newest(names);
      if (generation === undefined) return { kind: "nothing" };
      const { contents, owned, isSound } = await this.#read(join(path, generation));
      const { data: owner } = marked.safeParse(readDocument(owned)?.value);
      const stamp = (await this.stamp(path)) ?? "";
      if (owner === undefined) return { kind: "unparseable", stamp };
      if (owner.installation !== installation) {
        return { kind: "foreign", because: `it belongs to the installation "${owner.installation}"` };
      }
      const isWhole = isSound && isPrivate(folder.mode) && names.includes("current");
      return {
        kind: "ours",
        annotations: {
          [ownershipAnnotations.installation]: installation,
          [ownershipAnnotations.identity]: owner.identity,
          [ownershipAnnotations.name]: basename(path).slice(pemPrefix.length),
        },
        stamp,
        ...(isWhole && { digest: digestOf(contents) }),
      };
    });
  }

  async write(path: string, { metadata: { annotations }, data }: PemSetManifest): Promise<string> {
    const { files, folders, replacement, installation } = this.#ports;
    await folders.ensure(path);
    const [names, previous] = await reading(path, () => Promise.all([files.list(path), this.#current(path)]));
    const next = `gen-${(numberOf(newest(names) ?? "") ?? 0) + 1}`;
    const identity = annotations[ownershipAnnotations.identity] ?? "";
    const owner = JSON.stringify({ installation, identity });
    await replacement.folder(join(path, next), { ...data, [mark]: owner });
    await replacement.link(join(path, "current"), next);
    const outdated = names.filter((name) => numberOf(name) !== undefined && name !== previous);
    await writing(path, async () => {
      for (const name of outdated) await files.remove(join(path, name));
    });
    return (await this.stamp(path)) ?? "";
  }

  digestOf({ data }: PemSetManifest): string {
    return digestOf(data);
  }

  remove(path: string): Promise<void> {
    return this.#ports.replacement.removeFolder(path);
  }

  /** The generation that `current` leads to, if attaché made the link. */
  async #current(path: string): Promise<string | undefined> {
    try {
      const target = await this.#ports.files.readlink(join(path, "current"));
      return numberOf(target) === undefined ? undefined : target;
    } catch (error) {
      // Not there, or not a link.
      if (isFileError(error) && (error.code === "ENOENT" || error.code === "EINVAL")) return undefined;
      throw error;
    }
  }

  /** As much as is there of a generation, and whether only we may read it. */
  async #read(generation: string) {
    const texts: Partial<Record<string, string>> = {};
    let isSound = isPrivateFolder(await this.#ports.files.lstat(generation));
    for (const name of [...pemFiles, mark]) {
      const read = await readPlainFile(this.#ports.files, join(generation, name), maxManifestBytes);
      texts[name] = read?.text;
      isSound &&= read !== undefined && isPrivate(read.facts.mode);
    }
    const { [mark]: owned = "", ...contents } = texts;
    return { contents, owned, isSound };
  }
}

/** Whose the set is, in each generation. */
const mark = ".attache.json";
const marked = z.object({ installation: z.string(), identity: z.string() });

function isPrivateFolder(facts: FileFacts | undefined): boolean {
  return facts?.kind === "folder" && isPrivate(facts.mode);
}

function numberOf(name: string): number | undefined {
  const digits = /^gen-(\d{1,15})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function newest(names: readonly string[]): string | undefined {
  const numbers = names.flatMap((name) => numberOf(name) ?? []);
  return numbers.length === 0 ? undefined : `gen-${Math.max(...numbers)}`;
}
