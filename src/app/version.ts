import { createRequire } from "node:module";

/** By its own name, which resolves from the sources and from the build alike. */
const manifest = createRequire(import.meta.url)("attache/package.json") as {
  readonly version: string;
  readonly engines: { readonly node: string };
};

export const { version } = manifest;

/** Why attaché cannot run on this version of Node; `undefined` where it can. */
export function nodeProblem(node = process.versions.node): string | undefined {
  const required = manifest.engines.node.replace(/^\D+/, "");
  const [wanted, found] = [required, node].map((text) => text.split(".").map(Number));
  for (const [index, part] of (wanted ?? []).entries()) {
    const other = found?.[index] ?? 0;
    if (other > part) return undefined;
    if (other < part) return `attaché needs Node ${required} or later, and this is Node ${node}`;
  }
  return undefined;
}
