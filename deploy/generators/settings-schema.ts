import { z } from "zod";
import { coreMeshSettings, settings } from "../../src/config/settings.ts";
import { definitions } from "../../src/registry/registry.ts";

export type JsonSchema = Readonly<Record<string, unknown>> & {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly allOf?: readonly JsonSchema[];
  /** One for each mode, distinguished by their constant `mode`. */
  readonly oneOf?: readonly JsonSchema[];
  readonly const?: string;
};

type Properties = Readonly<Record<string, JsonSchema>>;

/**
 * The settings with those of each built-in adapter, which hold where `adapter` names it.
 * @param amended makes the properties of an adapter's mode what else may be in a mesh.
 */
export function settingsSchema(
  amended: (kind: string, properties: Properties) => Properties = (_kind, properties) => properties,
): JsonSchema {
  const schema = inputSchema(settings);
  const { meshes } = schema.properties ?? {};
  const mesh = meshes?.additionalProperties as JsonSchema;
  const allOf = Object.values(definitions).flatMap(({ kind, settings }) =>
    adapterSchemas(kind, settings, amended),
  );
  return {
    ...schema,
    properties: { ...schema.properties, meshes: { ...meshes, additionalProperties: { ...mesh, allOf } } },
  };
}

/** What every mesh has, judged elsewhere. */
const core = Object.fromEntries([...coreMeshSettings].map((name) => [name, {}]));

/** One for each mode, and one that knows the modes. */
function adapterSchemas(
  kind: string,
  schema: z.ZodType,
  amended: (kind: string, properties: Properties) => Properties,
): JsonSchema[] {
  const adapter = { const: kind };
  const all = modesOf(inputSchema(schema));
  const each = all.map(({ properties = {}, required = [] }) => ({
    if: {
      properties: { adapter, ...(all.length > 1 && { mode: { const: properties["mode"]?.const } }) },
      // A mode that may be left out is the default one.
      ...(required.includes("mode") && { required: ["mode"] }),
    },
    then: {
      properties: { ...core, ...amended(kind, properties) },
      // Not `propertyNames`: helm would point to another key.
      additionalProperties: false,
      ...(required.length > 0 && { required }),
    },
  }));
  if (all.length === 1) return each;
  const mode = { enum: all.map(({ properties }) => properties?.["mode"]?.const) };
  return [{ if: { properties: { adapter } }, then: { properties: { mode } } }, ...each];
}

/** The schemas of an adapter's modes, or the one of all that it takes. */
export function modesOf(schema: JsonSchema): readonly JsonSchema[] {
  return schema.oneOf ?? [schema];
}

/** What a user may write. */
export function inputSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input" }) as JsonSchema;
}
