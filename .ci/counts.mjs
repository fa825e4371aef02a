// Prints `PASSED FAILED` from a JSON report of vitest. A suite that failed without a failed test counts as one.
import { readFileSync } from "node:fs";

const { numPassedTests, numFailedTests, success } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const failed = numFailedTests === 0 && (!success || numPassedTests === 0) ? 1 : numFailedTests;
process.stdout.write(`${numPassedTests} ${failed}`);
