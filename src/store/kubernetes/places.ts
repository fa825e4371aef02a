/** Where to list and watch: in each of `namespaces`, or, where none is named, everywhere at once. */
export function placesOf(namespaces: readonly string[]): readonly (string | undefined)[] {
  return namespaces.length === 0 ? [undefined] : namespaces;
}
