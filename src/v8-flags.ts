/**
 * Tells V8 to keep small; to be imported before all that runs. attaché waits for disks and networks most of its life, in a
 * pod whose memory is paid for: it would never earn back what the optimizing compilers take (25 MB), nor a heap that
 * grows to several times of what lives on it. What this costs was measured, see docs/benchmarks.md.
 */
import { setFlagsFromString } from "node:v8";

for (const flag of ["--optimize-for-size", "--no-opt", "--no-maglev"]) setFlagsFromString(flag);
