import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isMap, isScalar, parseDocument, type YAMLMap } from "yaml";

const values = join(import.meta.dirname, "../helm/attache/values.yaml");

/** README.md of the chart: each value with its default and the comment above it. */
export function valuesPage(): string {
  const { contents, commentBefore } = parseDocument(readFileSync(values, "utf8"));
  if (!isMap(contents)) throw new Error(`${values} is no map`);
  const rows = rowsOf(contents, "", commentBefore);
  return `# Values of the chart

Generated from [values.yaml](values.yaml) by \`npm run generate\`. [examples](examples) has the values for the stock
charts of each mesh; [docs/kubernetes.md](../../../docs/kubernetes.md) explains them.

| value | default | meaning |
| --- | --- | --- |
${rows.map(({ path, fallback, text }) => `| \`${path}\` | ${fallback} | ${text} |`).join("\n")}
`;
}

interface Row {
  readonly path: string;
  readonly fallback: string;
  readonly text: string;
}

function rowsOf(map: YAMLMap, path: string, firstComment?: string | null): Row[] {
  return map.items.flatMap((pair, index) => {
    const { key, value } = pair;
    if (!isScalar(key)) return [];
    const name = `${path}${String(key.value)}`;
    const text = proseOf(
      key.commentBefore ?? (index === 0 ? (firstComment ?? map.commentBefore) : undefined),
    );
    if (!isMap(value) || value.flow === true || value.items.length === 0) {
      const fallback =
        isMap(value) || !isScalar(value) ? JSON.stringify(toJs(value)) : JSON.stringify(value.value);
      return [{ path: name, fallback: `\`${fallback}\``, text }];
    }
    const head = text === "" ? [] : [{ path: name, fallback: "", text }];
    return [...head, ...rowsOf(value, `${name}.`)];
  });
}

function toJs(value: unknown): unknown {
  return (value as { toJSON(): unknown } | null)?.toJSON();
}

/** Its last paragraph, without the examples, which are indented. */
function proseOf(comment?: string | null): string {
  const [paragraph = ""] = (comment ?? "").split(/\n\s*\n/).slice(-1);
  return paragraph
    .split("\n")
    .filter((line) => !/^ {2,}/.test(line))
    .map((line) => line.trim())
    .join(" ")
    .replaceAll("|", "\\|")
    .trim();
}
