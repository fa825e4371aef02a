import { randomUUID } from "node:crypto";
import type { ConsulAgent } from "./agent.ts";

/** A new ACL token that has `policy` for each of the services; `more` as Consul's API takes it. */
export async function createToken(
  agent: ConsulAgent,
  policy: "read" | "write",
  services: readonly string[],
  more: object = {},
): Promise<string> {
  const [secretId, name] = [randomUUID(), `test-${randomUUID()}`];
  const rules = services.map((service) => `service "${service}" { policy = "${policy}" }`).join("\n");
  await agent.call("PUT", "/acl/policy", { Name: name, Rules: rules });
  await agent.call("PUT", "/acl/token", { SecretID: secretId, Policies: [{ Name: name }], ...more });
  return secretId;
}
