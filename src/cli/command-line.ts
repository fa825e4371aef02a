import { CommanderError } from "commander";
import { exitStatusOf, explain } from "./failure.ts";
import { program } from "./program.ts";

/** Does what the arguments say, and leaves in `process.exitCode` how it went. */
export async function commandLine(args: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(args, { from: "user" });
  } catch (error) {
    // Commander has printed its own: help, a version, or what is wrong with the arguments.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else {
      process.stderr.write(explain(error));
      process.exitCode = exitStatusOf(error);
    }
  }
}
