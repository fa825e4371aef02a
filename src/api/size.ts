/**
 * What a MeshCertificate may be: its spec, labels and annotations as JSON, in bytes. A usual one has a
 * thousand.
 */
export const maxIdentityBytes = 64 * 1024;

const maxDepth = 32;

export const tooLarge = `is larger than ${maxIdentityBytes} bytes: shorten it`;

/**
 * Why a MeshCertificate is refused before a schema reads it: each tenant may write objects of a megabyte, and
 * what a schema says of one is longer still. Reads no more than the limit.
 */
export function excessOf(value: unknown): string | undefined {
  let bytes = 0;
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxDepth) return `is nested more than ${maxDepth} levels deep: write it flatter`;
    const below: unknown[] = [];
    for (const node of level) {
      bytes += sizeOf(node, below, maxIdentityBytes - bytes);
      if (bytes > maxIdentityBytes) return tooLarge;
    }
    level = below;
  }
  return undefined;
}

/**
 * Of one node as JSON, without what it holds, which goes to `below`; of the keys no more is read than `most`
 * bytes.
 */
function sizeOf(node: unknown, below: unknown[], most: number): number {
  if (typeof node === "string") return node.length > most ? node.length : Buffer.byteLength(node) + 3;
  if (typeof node !== "object" || node === null) return 6;
  if (Array.isArray(node)) {
    if (node.length <= most) for (const item of node as readonly unknown[]) below.push(item);
    return 2 + node.length;
  }
  let size = 2;
  for (const key in node) {
    size += key.length + 4;
    if (size > most) break;
    below.push((node as Readonly<Record<string, unknown>>)[key]);
  }
  return size;
}
