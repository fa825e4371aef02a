import { z } from "zod";

const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const form = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** `500ms`, `90s`, `15m`, `24h`, `7d`: a number and one unit. In milliseconds; `undefined` if it is anything else. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = form.exec(text) ?? [];
  return unit === undefined ? undefined : Number(amount) * unitsMs[unit as keyof typeof unitsMs];
}

/** A duration as users write it; in milliseconds. The generated schemas have its form. */
export const duration = z
  .string()
  .regex(form, 'must be a number and a unit, e.g. "90s", "24h" or "7d"')
  .transform((text) => parseDuration(text) ?? NaN);

/** A {@link duration} from `least` to `most`. */
export function durationBetween(least: string, most: string) {
  const [leastMs = 0, mostMs = 0] = [least, most].map(parseDuration);
  return duration.refine((ms) => ms >= leastMs && ms <= mostMs, {
    error: `must be between "${least}" and "${most}"`,
  });
}
