import { constants, watch } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { codeOf } from "../../../src/mesh/kit/errors.ts";
import { maxEncodedBytes } from "../../../src/credentials/pem.ts";

/** As the agent names them; each is written whole, the set is not (security/pkg/nodeagent/util). */
const fileNames = { key: "key.pem", chain: "cert-chain.pem", bundle: "root-cert.pem" } as const;

/** The bytes of the set, which may be torn. */
export type FileSet = Readonly<Record<keyof typeof fileNames, Buffer>>;

/** @throws MeshError if a file is missing, closed to attaché, or too large. */
export async function readSet(folder: string): Promise<FileSet> {
  const read = (name: keyof typeof fileNames) => readBounded(join(folder, fileNames[name]));
  const [key, chain, bundle] = await Promise.all([read("key"), read("chain"), read("bundle")]);
  return { key, chain, bundle };
}

export function isSameSet(one: FileSet, other: FileSet): boolean {
  return one.key.equals(other.key) && one.chain.equals(other.chain) && one.bundle.equals(other.bundle);
}

/** How soon a change is noticed where the system gives no notice of it: behind a link, or on some mounts. */
const lookMs = 1_000;

/** The agent writes its three files one after the other. */
const debounceMs = 50;

/**
 * Resolves when it is time to look at the folder again, until disposed of. Notices of the operating system make this
 * quick, and the regular looks make it right, also when the folder, or a link on the way to it, is replaced.
 */
export class FolderWatcher implements Disposable {
  readonly #clock: Clock;
  #noticed = Promise.withResolvers<undefined>();
  readonly #watcher: Disposable;

  constructor(folder: string, clock: Clock) {
    this.#clock = clock;
    this.#watcher = notices(folder, () => this.#noticed.resolve(undefined));
  }

  async next(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const sleep = (ms: number) => this.#clock.sleep(ms, AbortSignal.any([signal, over.signal]));
    try {
      await Promise.race([sleep(lookMs), this.#noticed.promise.then(() => sleep(debounceMs))]);
    } finally {
      over.abort();
      this.#noticed = Promise.withResolvers();
    }
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
  }
}

/** Where none can be had, there are none. */
function notices(folder: string, onNotice: () => void): Disposable {
  try {
    const watcher = watch(folder, onNotice);
    watcher.on("error", () => undefined);
    return { [Symbol.dispose]: () => watcher.close() };
  } catch {
    return { [Symbol.dispose]: () => undefined };
  }
}

/** @throws MeshError if the file is missing, closed to attaché, or too large. */
export async function readBounded(path: string): Promise<Buffer> {
  try {
    // A pipe of that name must not hold us.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size } = await file.stat();
    if (size <= maxEncodedBytes) return await file.readFile();
  } catch (cause) {
    throw unreadable(path, cause);
  }
  throw new MeshError("ATTACHE_MESH_MALFORMED", `${path} has more than ${maxEncodedBytes} bytes`);
}

function unreadable(path: string, cause: unknown): MeshError {
  const code = codeOf(cause) ?? "unknown error";
  const [problem, remedy] =
    code === "EACCES" || code === "EPERM"
      ? [
          `attaché may not read ${path}`,
          `Let user ${process.getuid?.() ?? "of attaché"} read it and enter its folders; on Kubernetes the agent writes with mode 0644.`,
        ]
      : [
          `${path} cannot be read (${code})`,
          "Let the agent write there (annotation proxy.istio.io/config, proxyMetadata.OUTPUT_CERTS) and mount the same volume in both containers.",
        ];
  return new MeshError("ATTACHE_MESH_UNREACHABLE", problem, { remedy, cause });
}
