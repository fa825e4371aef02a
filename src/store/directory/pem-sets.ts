import { basename, join } from "node:path";
import { z } from "zod";
import type { Manifest, SecretManifest } from "../../render/manifest.ts";
import { ownershipAnnotations } from "../../render/marks.ts";
import { digestOf, type PemSetManifest } from "../backend.ts";
import type { IdentityRef } from "../store.ts";
import { reading } from "./file-errors.ts";
import {
  unsound,
  type FileFinding,
  type FileFormat,
  type FileFormatPorts,
  foreign,
  unparseable,
} from "./file-format.ts";
import { isFileError, readPlainFile } from "./files.ts";
import { isPrivate } from "./folder-calls.ts";
import { maxManifestBytes, readDocument } from "./manifest-file.ts";
import { type FileChange, newestGeneration, numberOf, pemPrefix } from "./transaction.ts";

const pemFiles = ["tls.key", "tls.crt", "ca.crt", "crl.pem"] as const;

/**
 * The set that a target's Secrets amount to; nothing if it has no leaf and roots. Revocation lists are in it while the
 * TLSContext names them: all are current then, and there is one for each CA.
 */
export function pemSetOf(
  { metadata: { namespace, name } }: IdentityRef,
  manifests: readonly Manifest[],
): PemSetManifest | undefined {
  const secrets = manifests.filter((manifest): manifest is SecretManifest => manifest.kind === "Secret");
  const leaf = secrets.find(({ type }) => type === "kubernetes.io/tls");
  const ca = secrets.find(({ data }) => "tls.crt" in data && data !== leaf?.data);
  const context = manifests.find((manifest) => manifest.kind === "TLSContext");
  const crls = secrets.find(({ metadata }) => metadata.name === context?.spec.crl_secret);
  if (leaf === undefined || ca === undefined) return undefined;
  const text = ({ data }: SecretManifest, key: string) => Buffer.from(data[key] ?? "", "base64").toString();
  return {
    kind: "PemSet",
    metadata: { ...leaf.metadata, namespace, name },
    data: {
      "tls.key": text(leaf, "tls.key"),
      "tls.crt": text(leaf, "tls.crt"),
      "ca.crt": text(ca, "tls.crt"),
      ...(crls && { "crl.pem": text(crls, "crl.pem") }),
    },
  };
}

/**
 * PEM sets that no reader ever sees torn:
 *
 *     pem-storefront/
 *       current -> gen-7         swapped by one rename, once gen-7 is complete and on the disk
 *       gen-6/                   kept for readers that went in before the swap
 *       gen-7/ tls.key tls.crt ca.crt [crl.pem] .attache.json
 */
export class PemSets implements FileFormat<PemSetManifest> {
  readonly #ports: FileFormatPorts;

  constructor(ports: FileFormatPorts) {
    this.#ports = ports;
  }

  inspect(path: string): Promise<FileFinding | undefined> {
    const { files, installation } = this.#ports;
    return reading(path, async () => {
      const folder = await files.lstat(path);
      if (folder === undefined) return undefined;
      if (folder.kind !== "folder") return foreign("it is not a folder");
      const names = await files.list(path);
      const strange = names.find((name) => name !== "current" && numberOf(name) === undefined);
      if (strange !== undefined) return foreign(`it holds "${strange}"`);
      const generation = (await this.#current(path)) ?? newestGeneration(names);
      if (generation === undefined) return undefined;
      const { contents, owned, isSound } = await this.#read(join(path, generation));
      const { data: owner } = marked.safeParse(readDocument(owned)?.value);
      if (owner === undefined) return unparseable;
      if (owner.installation !== installation) {
        return foreign(`it belongs to the installation "${owner.installation}"`);
      }
      const annotations = {
        [ownershipAnnotations.installation]: installation,
        [ownershipAnnotations.identity]: owner.identity,
        [ownershipAnnotations.name]: basename(path).slice(pemPrefix.length),
      };
      const isWhole = isSound && isPrivate(folder.mode) && names.includes("current");
      return { annotations, content: isWhole ? digestOf(contents) : unsound };
    });
  }

  change(path: string, { metadata: { annotations }, data }: PemSetManifest): FileChange {
    const identity = annotations[ownershipAnnotations.identity] ?? "";
    const owner = JSON.stringify({ installation: this.#ports.installation, identity });
    return { kind: "set", path, files: { ...data, [mark]: owner } };
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
    const facts = await this.#ports.files.lstat(generation);
    let isSound = facts?.kind === "folder" && isPrivate(facts.mode);
    for (const name of [...pemFiles, mark]) {
      const read = await readPlainFile(this.#ports.files, join(generation, name), maxManifestBytes);
      if (read === undefined && name === "crl.pem") continue;
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
