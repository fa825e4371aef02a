/**
 * Tells V8 to keep small; to be imported before all that runs. attaché waits for disks and networks most of its life, in a
 * pod whose memory is paid for: it would never earn back a heap that grows to several times of what lives on it, nor
 * the code of a compiler between the fast one and the good one. What this costs was measured, see docs/benchmarks.md.
 */
import { setFlagsFromString } from "node:v8";

for (const flag of ["--optimize-for-size", "--no-maglev"]) setFlagsFromString(flag);
