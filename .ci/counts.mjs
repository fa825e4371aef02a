// `counts.mjs REPORT STATUS`: prints `PASSED FAILED` from a JSON report of vitest and its exit status, then what failed, a line each.
// A file that failed without a failed test counts as one, and so does a run without either.
import { readFileSync } from "node:fs";
import { relative } from "node:path";

const [report, exitStatus] = process.argv.slice(2);
const { numPassedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
const failures = testResults.flatMap(({ name, status, message, assertionResults }) => {
  const file = relative(process.cwd(), name);
  const tests = assertionResults.filter((test) => test.status === "failed");
  if (status === "failed" && tests.length === 0) return [`${file}: ${firstLine(message)}`];
  return tests.map(
    ({ fullName, failureMessages }) => `${file}: ${fullName}: ${firstLine(failureMessages[0])}`,
  );
});
if (failures.length === 0 && (exitStatus !== "0" || numPassedTests === 0))
  failures.push("an error outside of any test");
console.log(`${numPassedTests} ${failures.length}`);
if (failures.length > 0) console.log(failures.join("\n"));

function firstLine(text = "") {
  return text.split("\n", 1)[0];
}
