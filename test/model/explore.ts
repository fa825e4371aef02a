/**
 * Takes one of `options`; in one run after the other each is taken once, in all combinations with what is
 * chosen elsewhere.
 */
export type Choose = (options: readonly string[]) => string;

export interface Exploration {
  readonly runs: number;
}

/** What a run found that must not be, and the choices that led there. */
export class Violation extends Error {
  readonly trace: readonly string[];

  constructor(cause: unknown, trace: readonly string[]) {
    const what = cause instanceof Error ? cause.message : String(cause);
    super(`${what}\n  after: ${trace.join(" → ")}`, { cause });
    this.name = "Violation";
    this.trace = trace;
  }
}

interface Chosen {
  readonly options: readonly string[];
  readonly taken: number;
}

/**
 * Plays `run` again and again from its start until every choice was taken everywhere: depth first, the first
 * options first. A run must do the same when it is given the same choices, which is checked.
 * @throws Violation for what a run throws.
 */
export async function explore(run: (choose: Choose) => Promise<void>): Promise<Exploration> {
  let runs = 0;
  for (let plan: readonly Chosen[] | undefined = []; plan !== undefined; plan = next(plan)) {
    const path: Chosen[] = [];
    const given = plan;
    plan = path;
    try {
      await run((options) => {
        const planned = given[path.length];
        if (planned !== undefined && planned.options.join() !== options.join()) {
          throw new Error(`the run is not repeatable: ${planned.options.join()} was ${options.join()}`);
        }
        const taken = planned?.taken ?? 0;
        path.push({ options, taken });
        return options[taken] ?? "";
      });
    } catch (error) {
      throw new Violation(
        error,
        path.map(({ options, taken }) => options[taken] ?? ""),
      );
    }
    runs += 1;
  }
  return { runs };
}

/** The path that branches off last. */
function next(path: readonly Chosen[]): readonly Chosen[] | undefined {
  const last = path.findLastIndex(({ options, taken }) => taken + 1 < options.length);
  const branch = path[last];
  return branch && [...path.slice(0, last), { ...branch, taken: branch.taken + 1 }];
}
