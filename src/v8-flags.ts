/**
 * Has V8 keep small once attaché has started; to be imported before all that runs. It waits for disks and networks most of its
 * life, in a pod whose memory is paid for: there a heap of several times what lives on it is never earned back, nor is the
 * code of the compiler between the fast one and the good one. Only to begin with, when everything that is published is looked at, V8 may
 * take what makes it fast; it gives that back within seconds. What each costs was measured, see docs/benchmarks.md.
 */
import { setFlagsFromString } from "node:v8";

const startMs = 5_000;

setFlagsFromString("--no-maglev");
// Fast, but not forgetful: garbage is looked for when the heap has grown by a fifth, and not to four times its size.
setFlagsFromString("--heap-growing-percent=20");
setTimeout(() => {
  // Which sees to that by itself, and closer still when there is nothing to do.
  setFlagsFromString("--heap-growing-percent=0");
  setFlagsFromString("--optimize-for-size");
}, startMs).unref();
