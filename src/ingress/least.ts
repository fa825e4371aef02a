/** The least of however many there are; `Math.min(...numbers)` fails with some hundred thousand. */
export function least(numbers: Iterable<number | undefined>): number | undefined {
  let found: number | undefined;
  for (const one of numbers) if (one !== undefined && (found === undefined || one < found)) found = one;
  return found;
}
