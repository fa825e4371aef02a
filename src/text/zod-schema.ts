/** What zod's schemas are made of, as far as messages and overrides need it. */
interface ZodDefinition {
  readonly type?: string;
  readonly innerType?: unknown;
  readonly in?: unknown;
  readonly shape?: Shape;
  readonly valueType?: unknown;
  readonly element?: unknown;
  readonly options?: readonly unknown[];
  readonly discriminator?: string;
  readonly values?: readonly unknown[];
}

export type Shape = Readonly<Record<string, unknown>>;

export function definitionOf(schema: unknown): ZodDefinition {
  return (schema as { readonly _zod?: { readonly def: ZodDefinition } } | undefined)?._zod?.def ?? {};
}

/** Without defaults, optionals and transforms: the schema of what is written. */
export function unwrap(schema: unknown): unknown {
  const { innerType, in: input } = definitionOf(schema);
  const inner = innerType ?? input;
  return inner === undefined ? schema : unwrap(inner);
}

/**
 * The schemas of what is written at `path`: several where a union has several, none where no schema knows the
 * path.
 */
export function schemasAt(schema: unknown, path: readonly PropertyKey[]): unknown[] {
  const written = unwrap(schema);
  const { options, shape, valueType, element } = definitionOf(written);
  if (options !== undefined) return options.flatMap((option) => schemasAt(option, path));
  const [part, ...rest] = path;
  if (part === undefined) return written === undefined ? [] : [written];
  const name = String(part);
  const member = shape !== undefined && Object.hasOwn(shape, name) ? shape[name] : (valueType ?? element);
  return member === undefined ? [] : schemasAt(member, rest);
}
