#!/usr/bin/env node
import { nodeProblem } from "./app/version.ts";

// EPIPE: the reader closed the pipe, as `head` does; exit quietly.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

const problem = nodeProblem();
if (problem === undefined) {
  // Imported after the check: on an older Node, loading the dependencies ends in a stack trace.
  const { commandLine } = await import("./cli/program.ts");
  await commandLine(process.argv.slice(2));
} else {
  process.stderr.write(
    `attache: ${problem} (${process.execPath}).\n  → Install it from https://nodejs.org.\n`,
  );
  process.exitCode = 2;
}
