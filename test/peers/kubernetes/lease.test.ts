import { join } from "node:path";
import { describe, it, type TestContext } from "vitest";
import { startGuarded } from "../guarded.ts";
import { type Account, cluster } from "./cluster.ts";

/** A process of its own, so that it can be killed. */
interface Contender {
  /** The words that it wrote. */
  readonly said: () => string[];
  readonly isLeading: () => boolean;
  readonly signal: (name: NodeJS.Signals) => void;
}

/** Exactly the rights that leading takes. */
const rules = [
  { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update"] },
];

const program = join(import.meta.dirname, "contender.ts");

async function contend({ kubeconfig }: Account, holder: string, test: TestContext): Promise<Contender> {
  const args = ["--conditions=development", program, kubeconfig, "attache", holder];
  const guarded = startGuarded(process.execPath, args);
  test.onTestFinished(() => guarded[Symbol.asyncDispose]());
  const pid = () => /^ready (\d+)$/m.exec(guarded.output())?.[1];
  await guarded.until(() => Promise.resolve(pid() !== undefined), "it was ready");
  const id = Number(pid());
  const said = () => guarded.output().trim().split("\n");
  return {
    said,
    isLeading: () => said().lastIndexOf("leads") > said().lastIndexOf("over"),
    signal: (name) => process.kill(id, name),
  };
}

/** The first leads, the second stands by. */
async function pair(test: TestContext): Promise<[Contender, Contender]> {
  const { namespace, serviceAccount } = await cluster();
  const account = await serviceAccount(await namespace(), "attache", rules);
  const leader = await contend(account, "one", test);
  await test.expect.poll(leader.isLeading, { timeout: 60_000 }).toBe(true);
  return [leader, await contend(account, "other", test)];
}

describe.concurrent("the lease of a real API server", () => {
  it("passes at once when its leader is stopped, and does not have to run out", async (test) => {
    const [leader, other] = await pair(test);
    leader.signal("SIGTERM");
    // Idle, 2 s are plenty; it would run out after 15 s.
    await test.expect.poll(other.isLeading, { timeout: 10_000 }).toBe(true);
    test.expect(leader.said().at(-1)).toBe("over");
  });

  it("passes when its leader is killed, once it has run out", async (test) => {
    const [leader, other] = await pair(test);
    leader.signal("SIGKILL");
    await test.expect.poll(other.isLeading, { timeout: 60_000 }).toBe(true);
  });

  it("is known to be lost by a leader that was stopped, before it acts again", async (test) => {
    const [leader, other] = await pair(test);
    leader.signal("SIGSTOP");
    await test.expect.poll(other.isLeading, { timeout: 60_000 }).toBe(true);
    const acts = () => leader.said().filter((word) => word === "acts").length;
    const before = acts();
    leader.signal("SIGCONT");
    await test.expect.poll(() => leader.said(), { timeout: 60_000 }).toContain("over");
    test.expect(acts()).toBe(before);
    test.expect(other.isLeading()).toBe(true);
  });
});
