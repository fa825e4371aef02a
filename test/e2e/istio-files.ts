import { readFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Changed, Followed } from "./follow.ts";

export interface IstioFiles {
  /** Emissary's own. */
  readonly namespace: string;
  /** Where a sidecar writes, as long as there is one. */
  readonly folder: () => string | undefined;
}

/**
 * The Secret `istio-certs` that Emissary makes, in its memory, of the key and the chain of a sidecar's files, and
 * not of its roots (`cmd/entrypoint/istiocert.go`).
 */
export async function followIstioFiles(
  { namespace, folder }: IstioFiles,
  tell: (change: Changed) => void,
): Promise<AsyncDisposable> {
  const over = new AbortController();
  let known: Followed | undefined;

  async function look(): Promise<void> {
    const at = folder();
    const read = (file: string) => readFile(join(at ?? "", file)).catch(() => undefined);
    const [key, chain] = at === undefined ? [] : [await read("key.pem"), await read("cert-chain.pem")];
    const after = key && chain && secretOf(namespace, key, chain);
    if (after?.metadata.resourceVersion === known?.metadata.resourceVersion) return;
    const before = known;
    known = after;
    tell({ plural: "secrets", before, after });
  }

  await look();
  const running = (async () => {
    while (!over.signal.aborted) {
      await sleep(100);
      await look();
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      over.abort();
      await running;
    },
  };
}

function secretOf(namespace: string, key: Buffer, chain: Buffer): Followed {
  const resourceVersion = createHash("sha256").update(key).update(chain).digest("hex");
  return {
    metadata: { name: "istio-certs", namespace, uid: "istio-certs", resourceVersion },
    data: { "tls.key": key.toString("base64"), "tls.crt": chain.toString("base64") },
  };
}
