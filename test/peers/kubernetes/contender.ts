/**
 * One who wants to lead: writes `ready PID`, `leads` at the beginning of each term, `acts` ten times a second
 * while it is current, and `over`.
 *
 *     node --conditions=development test/peers/kubernetes/contender.ts KUBECONFIG LEASE HOLDER
 */
import { setTimeout as sleep } from "node:timers/promises";
import { openKubeClient } from "../../../src/kube/client.ts";
import { leadership } from "../../../src/kube/leader-election.ts";
import { loadAccess } from "../../../src/kube/load-access.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";

const [kubeconfig, name = "", holder = ""] = process.argv.slice(2);
const stopping = new AbortController();
process.on("SIGTERM", () => stopping.abort(new Error("SIGTERM")));

await using api = openKubeClient(await loadAccess({ kubeconfig }), { userAgent: "attache/tests" });
process.stdout.write(`ready ${process.pid}\n`);
for await (const term of leadership({ api, name, holder, logger: createLogger("warn") }, stopping.signal)) {
  process.stdout.write("leads\n");
  while (!term.signal.aborted) {
    if (term.isCurrent) process.stdout.write("acts\n");
    await sleep(100, undefined, { signal: term.signal }).catch(() => undefined);
  }
  process.stdout.write("over\n");
}
