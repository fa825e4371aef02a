/** The first of `texts`, and how many others there are. */
export function someOf(texts: readonly string[], max: number): string {
  const more = texts.length - max;
  return [...texts.slice(0, max), ...(more > 0 ? [`and ${more} more`] : [])].join(", ");
}
