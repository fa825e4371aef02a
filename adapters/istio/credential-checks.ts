import type { Check, Credential, MeshError } from "../../src/mesh/adapter.ts";
import { isOverdue } from "../../src/mesh/kit/agent-renewal.ts";
import { tornProblem } from "../../src/mesh/kit/pair-assembler.ts";
import { identityOf } from "./identity.ts";
import { lookAtAgent } from "./look-at-agent.ts";

/** What an operator should know of what the agent gave. */
export function credentialChecks(credential: Credential, now: Date): Check[] {
  const problem = tornProblem(credential, now);
  return [
    ok("identity", identityOf(credential.chain[0])),
    certificateCheck(credential, now),
    problem === undefined ? ok("trust bundle", `roots: ${credential.bundle.length}`) : torn(problem),
  ];
}

export function ok(name: string, message: string): Check {
  return { name, status: "ok", message };
}

export function failed(name: string, { problem, remedy }: MeshError): Check {
  return { name, status: "failed", message: problem, remedy };
}

function certificateCheck({ chain: [leaf] }: Credential, now: Date): Check {
  const name = "certificate";
  const until = leaf.notAfter.toISOString();
  const remedy = lookAtAgent;
  if (leaf.notAfter <= now) return { name, status: "failed", message: `expired at ${until}`, remedy };
  const message = `valid until ${until}`;
  if (leaf.notBefore > now) {
    return {
      name,
      status: "warning",
      message: `valid only from ${leaf.notBefore.toISOString()}`,
      remedy: "Compare the clocks of this machine and of istiod.",
    };
  }
  if (!isOverdue(leaf, now)) return ok(name, message);
  return { name, status: "warning", message: `${message}, and its renewal is overdue`, remedy };
}

function torn(problem: string): Check {
  return {
    name: "trust bundle",
    status: "failed",
    message: `the certificate leads to none of the roots: ${problem}`,
    remedy: "Look at the CA's root: after its change the agent must be given the new root, or be restarted.",
  };
}
