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

/** Takes the old root out of the bundle; it must have been tainted. */
export async function revokeOldRoot(spire: Spire): Promise<void> {
  await step(spire, "revoke", "old");
}

async function step(spire: Spire, command: string, which: "prepared" | "old"): Promise<void> {
  const shown = (await spire.json("localauthority", "x509", "show")) as Readonly<
    Record<string, { readonly authority_id: string }>
  >;
  await spire.server("localauthority", "x509", command, "-authorityID", shown[which]?.authority_id ?? "");
}
