import { type Document, isAlias, isCollection, isMap, isNode, isPair, isScalar } from "yaml";

/** Where in the text the key or item at `path` begins, or the nearest thing around it. */
export function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = startOf(node);
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (!isCollection(node)) break;
    const item = isMap(node)
      ? node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part))
      : node.items[Number(part)];
    if (item === undefined) break;
    offset = startOf(isPair(item) ? item.key : item, offset);
    node = isPair(item) ? item.value : item;
  }
  return offset;
}

export function startOf(node: unknown, otherwise = 0): number {
  return isNode(node) ? (node.range?.[0] ?? otherwise) : otherwise;
}
