#!/usr/bin/env node
import { CommanderError } from "commander";
import { program } from "./cli/program.ts";
import { explain, exitStatusOf } from "./cli/failure.ts";

try {
  await program().parseAsync();
} catch (error) {
  // Commander has printed its own: help, a version, or what is wrong with the arguments.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(explain(error));
    process.exitCode = exitStatusOf(error);
  }
}
