import type { KubeClient, KubeClientOptions } from "../kube/client.ts";
import type { AccessOptions } from "../kube/load-access.ts";
import { version } from "./version.ts";

/**
 * A client that is loaded and opened when it is wanted for the first time: in a folder, few adapters want
 * one.
 */
export class LazyKubeClient implements AsyncDisposable {
  readonly #options: AccessOptions & Pick<KubeClientOptions, "clock">;
  #opened: Promise<KubeClient> | undefined;

  constructor(options: AccessOptions & Pick<KubeClientOptions, "clock">) {
    this.#options = options;
  }

  /** @throws AttacheError that says how the cluster could be reached; the next call tries again. */
  readonly api = (): Promise<KubeClient> => {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  };

  async [Symbol.asyncDispose](): Promise<void> {
    const api = await this.#opened?.catch(() => undefined);
    await api?.[Symbol.asyncDispose]();
  }

  async #open(): Promise<KubeClient> {
    const { openKubeClient } = await import("../kube/client.ts");
    const { loadAccess } = await import("../kube/load-access.ts");
    return openKubeClient(await loadAccess(this.#options), {
      ...this.#options,
      userAgent: `attache/${version}`,
    });
  }
}
