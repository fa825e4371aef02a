import { z } from "zod";

const unitsMs = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
} as const;
const part = "(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:ns|us|µs|ms|s|m|h|d)";
const form = new RegExp(`^(?:0|(?:${part})+)$`);

/**
 * `500ms`, `1.5h`, `7d`, `1h30m`: as Go has durations, and days. In milliseconds; `undefined` if it is
 * anything else.
 */
export function parseDuration(text: string): number | undefined {
  if (!form.test(text)) return undefined;
  const parts = text.matchAll(/([\d.]+)(\D+)/g);
  return parts.reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * unitsMs[unit as keyof typeof unitsMs],
    0,
  );
}

/** A duration as users write it; in milliseconds. The generated schemas have its form. */
export const duration = z
  .string()
  .regex(form, 'must be a number and a unit, e.g. "90s", "1h30m" or "7d"')
  .transform((text) => parseDuration(text) ?? NaN);

/** A {@link duration} from `least` to `most`. */
export function durationBetween(least: string, most: string) {
  const [leastMs = 0, mostMs = 0] = [least, most].map(parseDuration);
  return duration.refine((ms) => ms >= leastMs && ms <= mostMs, {
    error: `must be between "${least}" and "${most}"`,
  });
}
