#!/usr/bin/env node
import "./v8-flags.ts";
import { commandLine } from "./cli/command-line.ts";

// Whoever reads has read enough, as `head` has: no failure, and nothing more to do.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

await commandLine(process.argv.slice(2));
