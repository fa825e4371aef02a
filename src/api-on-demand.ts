import type { Api, ApiOptions } from "./kubernetes/api.ts";
import type { AccessOptions } from "./kubernetes/load-access.ts";
import { version } from "./version.ts";

/** A client that is loaded and opened when it is wanted for the first time: in a folder, few adapters want one. */
export class ApiOnDemand implements AsyncDisposable {
  readonly #options: AccessOptions & Pick<ApiOptions, "clock">;
  #opened: Promise<Api> | undefined;

  constructor(options: AccessOptions & Pick<ApiOptions, "clock">) {
    this.#options = options;
  }

  /** @throws AttacheError that says how the cluster could be reached; the next call tries again. */
  readonly api = (): Promise<Api> => {
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

  async #open(): Promise<Api> {
    const { openApi } = await import("./kubernetes/api.ts");
    const { loadAccess } = await import("./kubernetes/load-access.ts");
    return openApi(await loadAccess(this.#options), { ...this.#options, userAgent: `attache/${version}` });
  }
}
