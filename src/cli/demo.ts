import { stripVTControlCharacters } from "node:util";
import { runDemo } from "../demo/demo.ts";
import { isSuccess, summaryText } from "../demo/summary.ts";
import { draw, type Scene } from "../demo/view.ts";
import type { DemoOptions } from "./options.ts";
import { durationOf, timeout, untilSignalled } from "./signals.ts";

/** Without a terminal, the picture is printed this often. */
const plainEveryMs = 5_000;

export async function demo({ duration, directory, ...flags }: DemoOptions): Promise<void> {
  const [chaos, json] = [flags.chaos === true, flags.json === true];
  const limits = duration === undefined ? [] : [timeout(durationOf(duration))];
  const signal = AbortSignal.any([untilSignalled(), ...limits]);
  // A second Ctrl-C ends it by an exit, which removes its folder, too.
  signal.addEventListener("abort", () => process.once("SIGINT", () => process.exit(130)), { once: true });
  const show = json ? () => undefined : process.stdout.isTTY ? drawer() : reporter();
  if (!json)
    process.stdout.write("Two meshes, three identities, an mTLS upstream and a client. Ctrl-C ends it.\n\n");
  const onServing = (console: string, metrics: string) => {
    if (!json) process.stdout.write(`The console: ${console}\nThe metrics: ${metrics}\n\n`);
  };
  const summary = await runDemo({ directory, chaos, show, onServing }, signal);
  process.stdout.write(json ? `${JSON.stringify(summary)}\n` : `\n${summaryText(summary)}`);
  if (!isSuccess(summary)) process.exitCode = 1;
}

/**
 * Draws over the last picture. Cuts lines at the width of the terminal: a wrapped line would count as two.
 */
function drawer(): (scene: Scene) => void {
  let height = 0;
  return (scene) => {
    const lines = draw(scene).split("\n");
    const up = height > 0 ? `\x1b[${height}A` : "";
    height = Math.max(height, lines.length);
    const picture = lines.concat(Array.from({ length: height - lines.length }, () => ""));
    const text = picture.map((line) => `\x1b[2K${line}\n`).join("");
    process.stdout.write(`${noWrap}${up}${text}${wrap}`);
  };
}

const [noWrap, wrap] = ["\x1b[?7l", "\x1b[?7h"];

function reporter(): (scene: Scene) => void {
  let nextAt = 0;
  return (scene) => {
    if (scene.now.getTime() < nextAt) return;
    nextAt = scene.now.getTime() + plainEveryMs;
    process.stdout.write(`${stripVTControlCharacters(draw(scene))}\n\n`);
  };
}
