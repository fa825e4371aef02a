import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { connect } from "node:tls";
import { Certificate, parseCertificates } from "../../../src/mesh/adapter.ts";
import type { Spire } from "./spire.ts";

/** The steps by which an operator gives a SPIRE server another CA (doc/spire_server.md, localauthority). */
export async function prepareRoot(spire: Spire): Promise<void> {
  await spire.server("localauthority", "x509", "prepare");
}

export async function activateRoot(spire: Spire): Promise<void> {
  await step(spire, "activate", "prepared");
}

/** Has all SVIDs under the old root replaced; it stays in the bundle. */
export async function taintOldRoot(spire: Spire): Promise<void> {
  await step(spire, "taint", "old");
}

/**
 * Takes the old root, which must have been tainted, out of the bundle. Not before the server itself has another
 * certificate, which takes it up to 5 s: an agent that could not verify it any more would end itself.
 */
export async function revokeOldRoot(spire: Spire): Promise<void> {
  await untilServedUnderNewRoot(spire);
  await step(spire, "revoke", "old");
}

export async function untilServedUnderNewRoot(spire: Spire): Promise<void> {
  const newest = parseCertificates(await spire.server("bundle", "show")).at(-1);
  while ((await servedBy(spire)).issuer !== newest?.subject) await setTimeout(100);
}

/** The certificate that the server shows to agents. */
async function servedBy({ port }: Spire): Promise<Certificate> {
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
  try {
    await once(socket, "secureConnect");
    return new Certificate(socket.getPeerCertificate().raw);
  } finally {
    socket.destroy();
  }
}

async function step(spire: Spire, command: string, which: "prepared" | "old"): Promise<void> {
  const shown = (await spire.json("localauthority", "x509", "show")) as Readonly<
    Record<string, { readonly authority_id: string }>
  >;
  await spire.server("localauthority", "x509", command, "-authorityID", shown[which]?.authority_id ?? "");
}
