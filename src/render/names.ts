import type { MeshCertificate } from "../api/mesh-certificate.ts";
import { suffixes } from "../api/rules.ts";

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
