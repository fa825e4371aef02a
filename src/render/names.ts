import type { MeshIdentity } from "../api/mesh-identity.ts";

/** What the objects of a target are called. */
export interface TargetNames {
  readonly secret: string;
  readonly caSecret: string;
  readonly tlsContext: string;
}

export function targetNames({ metadata: { name }, spec: { target } }: MeshIdentity): TargetNames {
  return {
    secret: target.secret ?? `${name}-mesh-cert`,
    caSecret: target.caSecret ?? `${name}-mesh-ca`,
    tlsContext: target.tlsContext.name ?? name,
  };
}
