import { type Code, type CodeEntry, codes } from "../errors/codes.ts";
import { didYouMean } from "../text/did-you-mean.ts";
import { UsageError } from "./errors.ts";

/**
 * Prints what an error code means and what to do, as docs/errors.md has it.
 * @throws UsageError for an unknown code
 */
export function explainCode(text: string): void {
  const known = Object.keys(codes) as Code[];
  const wanted = text.toUpperCase();
  const code = known.find((one) => one === wanted || one === `ATTACHE_${wanted}`);
  if (code === undefined) {
    const meant = didYouMean(wanted, known);
    const remedy = meant === undefined ? `There are:\n    ${known.join("\n    ")}` : `Did you mean ${meant}?`;
    throw new UsageError(`there is no error code "${text}"`, { remedy });
  }
  const { meaning, remedy, exit = 1 }: CodeEntry = codes[code];
  process.stdout.write(
    `${code}: ${meaning}\n  → ${remedy}\nA command that fails with it has exit status ${exit}.\n`,
  );
}
