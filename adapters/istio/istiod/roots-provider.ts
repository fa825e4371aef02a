import type { experimental } from "@grpc/grpc-js";
import type { Certificate } from "../../../src/mesh/adapter.ts";

type Provider = experimental.CertificateProvider;
type Listener = experimental.CaCertificateUpdateListener;

/** Roots that come later, and change; in grpc-js's usual credentials they stay what they are. */
export class RootsProvider implements Provider {
  readonly #listeners = new Set<Listener>();
  #update: experimental.CaCertificateUpdate | undefined;

  set(roots: readonly Certificate[]): void {
    this.#update = { caCertificate: Buffer.from(roots.map((root) => root.toPem()).join("")) };
    for (const listener of this.#listeners) listener(this.#update);
  }

  addCaCertificateListener(listener: Listener): void {
    this.#listeners.add(listener);
    if (this.#update !== undefined) listener(this.#update);
  }

  removeCaCertificateListener(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  /** attaché shows no certificate of its own. */
  addIdentityCertificateListener(): void {
    return;
  }

  removeIdentityCertificateListener(): void {
    return;
  }
}
