/**
 * The one of `known` that `word` was probably meant to be: a slip of the finger or two away, a third of it at
 * most.
 */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  const most = Math.min(2, Math.floor(word.length / 3));
  const [nearest] = known
    // Each letter more or less is a slip: a key of a megabyte costs nothing.
    .filter((candidate) => Math.abs(candidate.length - word.length) <= most)
    .map((candidate) => ({ candidate, distance: distance(word, candidate) }))
    .filter((one) => one.distance <= most)
    .sort((one, other) => one.distance - other.distance);
  return nearest?.candidate;
}

/** How many letters must be added, dropped, replaced, or swapped with their neighbour (Damerau, 1964). */
function distance(one: string, other: string): number {
  const table: number[][] = [];
  const at = (i: number, j: number) => table[i]?.[j] ?? Infinity;
  for (let i = 0; i <= one.length; i += 1) {
    const row: number[] = [];
    table.push(row);
    for (let j = 0; j <= other.length; j += 1) {
      const isSame = one[i - 1] === other[j - 1];
      const isSwapped = one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      row[j] =
        i === 0 || j === 0
          ? i + j
          : Math.min(
              at(i - 1, j) + 1,
              at(i, j - 1) + 1,
              at(i - 1, j - 1) + (isSame ? 0 : 1),
              isSwapped ? at(i - 2, j - 2) + 1 : Infinity,
            );
    }
  }
  return at(one.length, other.length);
}
