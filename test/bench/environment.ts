/** What attaché finds in its image: deploy/Dockerfile. */
export const imageEnvironment = { MALLOC_ARENA_MAX: "1", NODE_OPTIONS: "--max-semi-space-size=4" };

/** The flags of the image's command line (deploy/Dockerfile). */
export const imageFlags = ["--disable-sigusr1", "--no-maglev", "--memory-saver-mode"];

/** Each scenario runs through, with a hundredth and without rests: its figures mean nothing. */
export const isSmoke = process.argv.includes("--smoke") || process.env["ATTACHE_BENCH_SMOKE"] === "1";

/** How long a process rests, for example until V8 has returned memory. In milliseconds. */
export function restOf(ms: number): number {
  return isSmoke ? 100 : ms;
}
