/**
 * Preloaded into an `attache run` (`--import`): measures its event loop, and answers what the bench asks over
 * the channel of its parent. Knows nothing of attaché, so it measures any commit.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";

/** What the process did since the last `reset`. */
export interface Probed {
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
  readonly cpuMs: number;
  readonly rssMb: number;
}

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
let usage = process.cpuUsage();

process.on("message", (asked) => {
  if (asked === "reset") {
    delay.reset();
    usage = process.cpuUsage();
    process.send?.("reset");
    return;
  }
  const { user, system } = process.cpuUsage(usage);
  const probed: Probed = {
    loopP99Ms: delay.percentile(99) / 1e6,
    loopMaxMs: delay.max / 1e6,
    cpuMs: (user + system) / 1000,
    rssMb: process.memoryUsage.rss() / 1e6,
  };
  process.send?.(probed);
});
process.channel?.unref();
