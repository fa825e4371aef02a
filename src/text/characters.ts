import { z } from "zod";

/**
 * A text of at most `max` characters, counted as the API server counts them for `maxLength`: by code points,
 * and not by parts of UTF-16. Half of a pair of those is refused: Go's JSON has no such text.
 */
export function characters(max: number): z.ZodString {
  return z
    .string()
    .refine((text) => Array.from(text).length <= max && text.isWellFormed(), {
      error: `must have at most ${max} characters of Unicode`,
    })
    .meta({ maxLength: max });
}
