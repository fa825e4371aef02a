import {
  type Certificate,
  type Check,
  type Credential,
  type IdentityOwner,
  MeshError,
  parseSpiffeIdPattern,
} from "../../src/mesh/adapter.ts";
import { isOverdue } from "../../src/mesh/kit/agent-renewal.ts";
import { failed, ok, warning } from "../../src/mesh/kit/checks.ts";
import { tornProblem } from "../../src/mesh/kit/pair-assembler.ts";
import { printable } from "../../src/text/printable.ts";
import { definition, type IstioIdentity } from "./definition.ts";

/** What to do about an agent that answers and gives nothing. */
export const lookAtAgent =
  "Look at the log of the agent (container istio-proxy), and whether it reaches istiod.";

/** What an operator should know of what the agent gave. */
export function credentialChecks(credential: Credential, now: Date): Check[] {
  const problem = tornProblem(credential, now);
  return [
    ok("identity", identityOf(credential.chain[0])),
    certificateCheck(credential, now),
    problem === undefined ? ok("trust bundle", `roots: ${credential.bundle.length}`) : torn(problem),
  ];
}

function certificateCheck({ chain: [leaf] }: Credential, now: Date): Check {
  const name = "certificate";
  const until = leaf.notAfter.toISOString();
  if (leaf.notAfter <= now) return failed(name, { problem: `expired at ${until}`, remedy: lookAtAgent });
  if (leaf.notBefore > now) {
    const from = leaf.notBefore.toISOString();
    return warning(name, `valid only from ${from}`, "Compare the clocks of this machine and of istiod.");
  }
  if (!isOverdue(leaf, now)) return ok(name, `valid until ${until}`);
  return warning(name, `valid until ${until}, and its renewal is overdue`, lookAtAgent);
}

function torn(problem: string): Check {
  return failed("trust bundle", {
    problem: `the certificate leads to none of the roots: ${problem}`,
    remedy: "Look at the CA's root: after its change the agent must be given the new root, or be restarted.",
  });
}

/** @throws MeshError if the agent's identity is another one than is wanted. */
export function assertCarries(
  { chain: [leaf] }: Credential,
  identity: IstioIdentity,
  { namespace }: IdentityOwner,
): void {
  const { serviceAccount } = identity;
  if (serviceAccount === undefined) return;
  if (parseSpiffeIdPattern(definition.expected(identity, { namespace })).test(leaf.uris[0] ?? "")) return;
  throw new MeshError(
    "ATTACHE_MESH_IDENTITY_REFUSED",
    `the agent gives the identity of attaché's own pod, ${identityOf(leaf)}, and not that of the ServiceAccount ${namespace}/${serviceAccount}`,
    {
      remedy:
        "Use a mesh with `mode: istiod`, which gives each MeshCertificate the identity of a ServiceAccount of its namespace; or leave `serviceAccount` out to take attaché's own.",
    },
  );
}

/** The leaf's name, fit for a message. */
function identityOf(leaf: Certificate): string {
  return printable(leaf.uris[0] ?? "a certificate without a SPIFFE ID");
}
