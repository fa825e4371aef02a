import { sources } from "./rules.ts";

/** Who a MeshCertificate is for, as far as its spec says. */
export interface Addressee {
  readonly installation: string | undefined;
  /** The mesh named, else the one that is named like the source. */
  readonly mesh: string | undefined;
}

/** What one attaché has, among several of a cluster. */
export interface Possessions {
  readonly installation: string;
  /** By name, those that are configured. */
  readonly meshes: Pick<ReadonlySet<string>, "has">;
}

/** @param spec also of a version that cannot be read. */
export function addresseeOf(spec: unknown): Addressee {
  const fields: Readonly<Record<string, unknown>> = { ...(spec as object | undefined) };
  const { installation, mesh } = fields;
  const [source, another] = sources.filter((one) => fields[one] !== undefined);
  return {
    installation: textOf(installation),
    mesh: mesh === undefined && another === undefined ? source : textOf(mesh),
  };
}

/** Whether the identity belongs to this installation; without any information, it belongs to another. */
export function isFor({ installation, mesh }: Addressee, own: Possessions): boolean {
  if (installation !== undefined) return installation === own.installation;
  return mesh !== undefined && own.meshes.has(mesh);
}

/** A longer text is no name of an installation or a mesh, and is not worth its memory. */
function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value.length <= 63 ? value : undefined;
}
