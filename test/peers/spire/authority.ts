import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect } from "vitest";
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

/** Takes the old root, which must have been tainted, out of the bundle once neither needs it. */
export async function revokeOldRoot(spire: Spire): Promise<void> {
  await untilUnderNewRoot(spire);
  await step(spire, "revoke", "old");
}

/**
 * Resolves once server and agent have certificates of the new root themselves, which takes each up to 5 s: an
 * agent that cannot verify its server any more ends itself, and one whose own certificate is of a root that
 * is gone is never let in again.
 */
export async function untilUnderNewRoot(spire: Spire): Promise<void> {
  const newest = parseCertificates(await spire.server("bundle", "show")).at(-1);
  const both = async () => [(await servedBy(spire)).issuer, (await ofAgent(spire))?.issuer];
  await expect.poll(both, { timeout: 30_000, interval: 100 }).toEqual([newest?.subject, newest?.subject]);
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

async function ofAgent({ folder }: Spire): Promise<Certificate | undefined> {
  const stored = await readFile(join(folder, "agent", "agent-data.json"), "utf8");
  const { svid } = JSON.parse(stored) as { readonly svid: readonly string[] };
  return parseCertificates(Buffer.from(svid.join(""), "base64").toString())[0];
}

async function step(spire: Spire, command: string, which: "prepared" | "old"): Promise<void> {
  const shown = (await spire.json("localauthority", "x509", "show")) as Readonly<
    Record<string, { readonly authority_id: string }>
  >;
  await spire.server("localauthority", "x509", command, "-authorityID", shown[which]?.authority_id ?? "");
}
