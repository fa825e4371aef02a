import type { MeshCertificate } from "../api/mesh-certificate.ts";
import { suffixes } from "../api/rules.ts";
import type { Manifest } from "./manifest.ts";

/** What the objects of a target are called. */
export interface TargetNames {
  readonly secret: string;
  readonly caSecret: string;
  /** Absent: revocation lists are not published. */
  readonly crlSecret?: string;
  readonly tlsContext: string;
}

export function targetNames({ metadata: { name }, spec: { target } }: MeshCertificate): TargetNames {
  return {
    secret: target.secret ?? name + suffixes.secret,
    caSecret: target.caSecret ?? name + suffixes.caSecret,
    ...(target.crlSecret !== undefined && { crlSecret: target.crlSecret }),
    tlsContext: target.tlsContext.name ?? name,
  };
}

/** In the order in which they are written. */
export function secretNames({ caSecret, crlSecret, secret }: TargetNames): string[] {
  return [caSecret, ...(crlSecret === undefined ? [] : [crlSecret]), secret];
}

/** Which object: `Secret/emissary/storefront-mesh-ca`. */
export interface TargetObject {
  readonly kind: Manifest["kind"];
  readonly namespace: string;
  readonly name: string;
}

/** All objects of a target, in the order in which they are written. */
export function targetObjects(identity: MeshCertificate): readonly TargetObject[] {
  const { namespace } = identity.metadata;
  const names = targetNames(identity);
  return [
    ...secretNames(names).map((name) => ({ kind: "Secret", namespace, name }) as const),
    { kind: "TLSContext", namespace, name: names.tlsContext },
  ];
}
