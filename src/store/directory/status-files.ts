import { z } from "zod";
import {
  apiVersion,
  type IdentityKey,
  kind,
  type MeshCertificate,
  type Status,
} from "../../api/mesh-certificate.ts";
import { status } from "../../api/status.ts";
import { writeYaml } from "../../text/yaml/write.ts";
import { digestOf } from "../backend.ts";
import type { IdentityRef } from "../store.ts";
import { namesIn } from "./backend.ts";
import type { Disk } from "./disk.ts";
import { reading } from "./file-errors.ts";
import { type Files, readPlainFile } from "./files.ts";
import { isNamespace, keyOfStatus, type Layout } from "./layout.ts";
import { readDocument } from "./manifest-file.ts";

/** What a status file says about an identity after a restart. */
export interface Remembered {
  readonly status?: Status;
  readonly generation: number;
  readonly specDigest: string;
}

export interface StatusFilesPorts {
  readonly files: Files;
  readonly layout: Layout;
  readonly disk: Disk;
}

/** What attaché reports of each identity, as YAML: the MeshCertificate without its spec, with its status. */
export class StatusFiles {
  readonly #ports: StatusFilesPorts;

  constructor(ports: StatusFilesPorts) {
    this.#ports = ports;
  }

  read(identity: IdentityRef): Promise<Remembered | undefined> {
    return readStatusFile(identity, this.#ports.layout, this.#ports.files);
  }

  /** Not synced: a power cut may lose a status, and attaché reports it again. A crash leaves it whole. */
  async write(identity: MeshCertificate, reported: Status): Promise<void> {
    const { disk, layout } = this.#ports;
    const { name, namespace, uid, generation } = identity.metadata;
    const annotations = { [specDigest]: digestOf(identity.spec) };
    const metadata = { name, namespace, uid, generation, annotations };
    const text = writeYaml({ apiVersion, kind, metadata, status: reported });
    await disk.change({ kind: "file", path: layout.status(identity), text, isDurable: false });
  }

  async remove(identity: IdentityRef): Promise<void> {
    const { disk, layout } = this.#ports;
    await disk.change({ kind: "removal", path: layout.status(identity), isDurable: false });
  }

  /** Of every identity that has a status. */
  async keys(): Promise<IdentityKey[]> {
    const { files, layout } = this.#ports;
    const namespaces = (await namesIn(files, layout.statuses)).filter(isNamespace);
    const keys = await Promise.all(
      namespaces.map(async (namespace) => {
        const names = await namesIn(files, layout.statusFolder(namespace));
        return names.flatMap((name) => keyOfStatus(namespace, name) ?? []);
      }),
    );
    return keys.flat();
  }
}

/** Nothing if the status is absent or damaged. */
export async function readStatusFile(
  identity: IdentityRef,
  layout: Layout,
  files: Files,
): Promise<Remembered | undefined> {
  const path = layout.status(identity);
  const file = await reading(path, () => readPlainFile(files, path, maxStatusBytes));
  const { data } = statusFile.safeParse(readDocument(file?.text ?? "")?.value);
  if (data === undefined) return undefined;
  const { generation, annotations } = data.metadata;
  // A status that another version of attaché wrote is none, and no reason to forget the generation.
  const reported = status.safeParse(data.status).data;
  return { ...(reported && { status: reported }), generation, specDigest: annotations[specDigest] };
}

const maxStatusBytes = 1024 * 1024;

/** An annotation: from it and the generation a restart knows whether the spec has changed meanwhile. */
const specDigest = "attache.dev/spec-digest";

const statusFile = z.object({
  metadata: z.object({
    generation: z.int().positive(),
    annotations: z.looseObject({ [specDigest]: z.string() }),
  }),
  status: z.unknown(),
});
