import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A program that runs beside the tests and ends with them. */
export interface Guarded extends AsyncDisposable {
  /** The last of what it has written. */
  output(): string;
  /** Sends it a signal: SIGKILL, SIGSTOP. */
  signal(name: NodeJS.Signals): void;
  /** Resolves when it has ended, with its exit status; 1 after a signal. */
  readonly ended: Promise<number>;
  /**
   * Resolves once `condition` does so with true. @throws AssertionError with the output if the program ends
   * before.
   */
  until(condition: () => Promise<boolean>, what: string): Promise<void>;
}

const outputMaxLength = 4_000;

/** Only a failure takes that long. */
const deadlineMs = 75_000;

export interface GuardedOptions {
  /** Beside our own. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export function startGuarded(
  program: string,
  args: readonly string[],
  { env, cwd }: GuardedOptions = {},
): Guarded {
  // The pipe to its standard input is what holds it: the system closes it when this process is gone.
  const guard = spawn(process.execPath, [join(import.meta.dirname, "guard.ts"), program, ...args], {
    env: { ...process.env, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  let output = "";
  for (const stream of [guard.stdout, guard.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-outputMaxLength);
    });
  }
  const closed = once(guard, "close");
  // Not while we watch, but by then nothing reads either.
  guard.stdin.on("error", () => undefined);
  return {
    output: () => output,
    signal: (name) => void guard.stdin.write(`${name}\n`),
    ended: closed.then(() => guard.exitCode ?? 1),
    async until(condition, what) {
      const endsAt = Date.now() + deadlineMs;
      while (!(await condition())) {
        assert.ok(guard.exitCode === null, `${program} ended before ${what}:\n${output}`);
        assert.ok(Date.now() < endsAt, `waited without success for ${what} of ${program}:\n${output}`);
        await sleep(50);
      }
    },
    async [Symbol.asyncDispose]() {
      guard.stdin.end();
      await closed;
    },
  };
}
