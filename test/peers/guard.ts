/**
 * Runs a program, and ends it when our standard input closes: so it also ends when the process that started
 * us was killed, however that happened. Node has no other way to tie the life of a child to its own.
 *
 *     node test/peers/guard.ts PROGRAM ARGUMENT…
 *
 * Each line of the standard input is the name of a signal to pass on to the program.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [program = "", ...args] = process.argv.slice(2);
const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
child.once("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(127);
});
child.once("exit", (code) => process.exit(code ?? 1));

function end(): void {
  child.kill("SIGTERM");
  setTimeout(() => child.kill("SIGKILL"), 2_000);
}

process.stdin.once("close", end);
createInterface(process.stdin).on("line", (name) => child.kill(name as NodeJS.Signals));
// From a terminal the program gets these too; we stay until it is gone.
process.on("SIGINT", end).on("SIGTERM", end);
