import { keyOf, meshOf } from "../api/mesh-certificate.ts";
import { conditionOf } from "../api/status.ts";
import type { IdentityView } from "../store/store.ts";
import { type Column, relative } from "./output.ts";
import { isReady } from "../doctor/identity-problems.ts";

/** An identity, as it is at a time. */
export interface StatusRow {
  readonly view: IdentityView;
  readonly now: Date;
}

/**
 * What `attache status` shows of each identity. The SPIFFE ID is last, as it is long: the answers before it
 * stay on the line.
 */
export const columns: readonly Column<StatusRow>[] = [
  { heading: "IDENTITY", cell: ({ view }) => keyOf(view.identity) },
  { heading: "MESH", cell: ({ view }) => meshOf(view.identity) },
  { heading: "READY", cell: ready },
  { heading: "SERVED", cell: served },
  { heading: "PROTECTED", cell: protection },
  { heading: "ENDS", cell: ({ view, now }) => when(view.status?.notAfter, now) },
  { heading: "AGE", cell: ({ view, now }) => age(view.identity.metadata.creationTimestamp, now) },
  { heading: "SPIFFE ID", cell: ({ view }) => view.status?.spiffeId ?? "-" },
  {
    heading: "SOURCE",
    cell: ({ view }) => conditionOf(view.status, "SourceReady")?.reason ?? "-",
    wide: true,
  },
  { heading: "ROTATED", cell: ({ view, now }) => when(view.status?.lastRotationTime, now), wide: true },
  { heading: "SERIAL", cell: ({ view }) => view.status?.serialNumber ?? "-", wide: true },
  { heading: "RENEWAL", cell: ({ view, now }) => when(view.status?.renewalTime, now), wide: true },
  { heading: "ROOTS", cell: ({ view }) => String(view.status?.roots?.length ?? 0), wide: true },
];

function ready({ view, now }: StatusRow): string {
  const answer = isReady(view, now) ? "yes" : "NO";
  const notes = [
    ...(conditionOf(view.status, "Ready")?.reason === "Orphaned" ? ["Orphaned"] : []),
    ...(view.identity.metadata.deletionTimestamp === undefined ? [] : ["Terminating"]),
  ];
  return notes.length === 0 ? answer : `${answer} (${notes.join(", ")})`;
}

/** In capitals if an operator must act now. */
function served({ view }: StatusRow): string {
  const { status: is, reason } = conditionOf(view.status, "Served") ?? {};
  if (is === undefined || reason === undefined || reason === "NotConfigured") return "-";
  if (is === "True") return reason === "Unused" ? "unused" : "yes";
  return ["Exposed", "Frozen"].includes(reason) ? reason.toUpperCase() : reason;
}

function protection({ view }: StatusRow): string {
  const { status: is, reason } = conditionOf(view.status, "Protected") ?? {};
  if (is === undefined || reason === undefined) return view.installations.length === 0 ? "-" : "unused";
  return is === "True" ? "yes" : reason.toUpperCase();
}

function age(time: string | undefined, now: Date): string {
  return time === undefined ? "-" : relative(new Date(time), now).replace(/ ago$/, "");
}

function when(time: string | undefined, now: Date): string {
  return time === undefined ? "-" : relative(new Date(time), now);
}
