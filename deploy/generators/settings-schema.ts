import { z } from "zod";
import { settings } from "../../src/config/settings.ts";
import { definitions } from "../../src/mesh/registry.ts";

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
};

/** The settings with those of each built-in adapter, which hold where `adapter` names it. */
export function settingsSchema(): JsonSchema {
  const schema = inputSchema(settings);
  const { meshes } = schema.properties ?? {};
  const mesh = meshes?.additionalProperties as JsonSchema;
  const allOf = Object.values(definitions).map((definition) => {
    const { properties = {}, required } = inputSchema(definition.settings);
    return {
      if: { properties: { adapter: { const: definition.kind } } },
      then: { properties, ...(required && { required }) },
    };
  });
  return {
    ...schema,
    properties: { ...schema.properties, meshes: { ...meshes, additionalProperties: { ...mesh, allOf } } },
  };
}

/** What a user may write. */
export function inputSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input" }) as JsonSchema;
}
