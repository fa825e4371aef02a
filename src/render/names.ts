import type { MeshCertificate } from "../api/mesh-certificate.ts";
import { suffixes } from "../api/rules.ts";
import type { Manifest } from "./manifest.ts";

/** What the objects of a target are called. */
interface TargetNames {
  readonly secret: string;
  readonly caSecret: string;
  readonly tlsContext: string;
}

export function targetNames({ metadata: { name }, spec: { target } }: MeshCertificate): TargetNames {
  return {
    secret: target.secret ?? name + suffixes.secret,
    caSecret: target.caSecret ?? name + suffixes.caSecret,
    tlsContext: target.tlsContext.name ?? name,
  };
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
  const { secret, caSecret, tlsContext } = targetNames(identity);
  return [
    { kind: "Secret", namespace, name: caSecret },
    { kind: "Secret", namespace, name: secret },
    { kind: "TLSContext", namespace, name: tlsContext },
  ];
}
