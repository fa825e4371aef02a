/** What is no object has no fields. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** What is no text is empty. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
