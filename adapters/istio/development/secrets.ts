import type { KeyObject } from "node:crypto";
import type { Certificate } from "../../../src/mesh/adapter.ts";
import { bundleName, workloadName } from "../sds/secret.ts";
import type { DataSource, Secret } from "../proto/sds.pb.ts";

/**
 * The secret `default` as the Istio agent writes it: the key in SEC1, the chain with the roots at its end.
 */
export function workloadSecret(key: KeyObject, chain: readonly Certificate[]): Secret {
  return {
    name: workloadName,
    tlsCertificate: {
      certificateChain: pem(chain),
      privateKey: { inlineBytes: Buffer.from(key.export({ type: "sec1", format: "pem" })) },
      privateKeyProvider: null,
    },
    validationContext: null,
  };
}

/** The secret `ROOTCA`. */
export function bundleSecret(roots: readonly Certificate[]): Secret {
  return {
    name: bundleName,
    tlsCertificate: null,
    validationContext: { trustedCa: pem(roots), crl: null, customValidatorConfig: null },
  };
}

function pem(certificates: readonly Certificate[]): DataSource {
  return { inlineBytes: Buffer.from(certificates.map((certificate) => certificate.toPem()).join("")) };
}
