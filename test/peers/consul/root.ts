import { generateKeyPairSync } from "node:crypto";
import type { ConsulAgent } from "./agent.ts";

/** Gives Consul's CA a new key, and so a new root that the old one cross-signs. */
export async function rotateRoot(agent: ConsulAgent, leafLife: string): Promise<void> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await agent.call("PUT", "/connect/ca/configuration", {
    Provider: "consul",
    Config: {
      PrivateKey: privateKey.export({ type: "sec1", format: "pem" }),
      LeafCertTTL: leafLife,
      IntermediateCertTTL: "8760h",
      SkipValidate: true,
    },
  });
}
