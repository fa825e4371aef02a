import { stringify } from "yaml";
import { isBuiltIn } from "../registry/registry.ts";
import { parseYaml } from "../text/yaml/document.ts";
import { removed } from "../text/without-tokens.ts";

/** Settings that may be shown, and what was removed from them, which must not show elsewhere either. */
export interface ShownSettings {
  readonly text: string;
  readonly secrets: readonly string[];
}

/** Text under these keys is a secret; files and names of such are none. */
const secretKey = /(?:token|secret|password|passphrase|authorization|credential|apikey|privatekey)$/i;

/**
 * The settings without secrets: of a plug-in, nothing is known, so no text of it is shown.
 * @throws DocumentError where `text` is no YAML
 */
export function shownSettings(text: string, file: string): ShownSettings {
  const secrets: string[] = [];
  const hide = (value: string) => {
    secrets.push(value);
    return removed;
  };
  const shown = (value: unknown, hides: (key: string) => boolean, key = ""): unknown => {
    if (typeof value === "string") return hides(key) ? hide(value) : value;
    if (Array.isArray(value)) return value.map((one) => shown(one, hides, key));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shown(one, hides, name)]));
  };
  const known = (key: string) => secretKey.test(key);
  const foreign = (key: string) => key !== "adapter" && key !== "trustDomain" && key !== "retain";
  const { meshes, ...rest } = (parseYaml(text, file, { maxTokens: Infinity })[0]?.value ?? {}) as Readonly<
    Record<string, unknown>
  >;
  const safe = Object.entries(
    (meshes ?? {}) as Readonly<Record<string, { readonly adapter?: unknown } | null>>,
  ).map(([name, mesh]) => {
    const isKnown = typeof mesh?.adapter === "string" && isBuiltIn(mesh.adapter);
    return [name, shown(mesh, isKnown ? known : foreign)];
  });
  const all = { ...(shown(rest, known) as object), meshes: Object.fromEntries(safe) as object };
  return { text: stringify(all, { lineWidth: 0 }), secrets: secrets.filter((one) => one.length >= 8) };
}
