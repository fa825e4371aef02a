import { keyOf, meshOf, type MeshIdentity, type Status } from "../api/mesh-identity.ts";
import type { Condition, ConditionType } from "../api/status.ts";
import { explain } from "./failure.ts";
import { type Column, print, relative } from "./output.ts";
import type { StatusOptions } from "./program.ts";
import { settingsOf } from "./settings.ts";
import { viewsOf } from "./views.ts";

interface Row {
  readonly identity: MeshIdentity;
  readonly status: Status | undefined;
  readonly now: Date;
}

/** Prints how each identity is; exit status 1 unless all can be read and are ready. */
export async function status(names: readonly string[], options: StatusOptions): Promise<void> {
  const now = new Date();
  const loaded = await settingsOf(options);
  const { views, problems } = await viewsOf(loaded, names);
  const rows = views.map((view) => ({ identity: view.identity, status: view.status, now }));
  const data = rows.map(({ identity: { metadata }, status: reported }) => ({
    namespace: metadata.namespace,
    name: metadata.name,
    status: reported,
  }));
  process.stdout.write(print(options.output, { rows, columns, data }));
  const isTable = options.output === "table" || options.output === "wide";
  if (isTable) for (const row of rows) process.stdout.write(advice(row));
  for (const problem of problems) process.stderr.write(`\n${explain(problem)}`);
  if (problems.length === 0 && rows.length === 0) {
    const { identities } = loaded.settings.store.directory;
    process.stderr.write(`\nThere is no MeshIdentity in ${identities.join(", ")} yet.\n`);
  }
  if (!rows.every(isReady) || problems.length > 0) process.exitCode = 1;
}

const columns: readonly Column<Row>[] = [
  { heading: "IDENTITY", cell: ({ identity }) => keyOf(identity) },
  { heading: "MESH", cell: ({ identity }) => meshOf(identity) },
  { heading: "READY", cell: (row) => (isReady(row) ? "yes" : "NO") },
  { heading: "SOURCE", cell: (row) => conditionOf(row, "SourceReady")?.reason ?? "-" },
  { heading: "EXPIRES", cell: ({ status: reported, now }) => when(reported?.notAfter, now) },
  { heading: "ROTATED", cell: ({ status: reported, now }) => when(reported?.lastRotationTime, now) },
  { heading: "SPIFFE ID", cell: ({ status: reported }) => reported?.spiffeId ?? "-" },
  { heading: "SERIAL", cell: ({ status: reported }) => reported?.serialNumber ?? "-", wide: true },
  { heading: "RENEWAL", cell: ({ status: reported, now }) => when(reported?.renewalTime, now), wide: true },
  { heading: "ROOTS", cell: ({ status: reported }) => String(reported?.roots?.length ?? 0), wide: true },
];

/** By this clock: a status that nobody updates any more must not go on saying that all is well. */
function isReady(row: Row): boolean {
  const isOver = row.status?.notAfter !== undefined && new Date(row.status.notAfter) <= row.now;
  return !isOver && conditionOf(row, "Ready")?.status === "True";
}

/** What to know and to do where not all is well. */
function advice(row: Row): string {
  if (row.status === undefined)
    return `\n${keyOf(row.identity)}: no attaché has looked at it yet; is one running?\n`;
  const stale =
    isReady(row) || conditionOf(row, "Ready")?.status !== "True"
      ? []
      : ["the leaf has expired; is attaché running?"];
  const troubles = row.status.conditions.filter((condition) => condition.status !== "True");
  const lines = [...stale, ...troubles.map(({ type, message }) => `${type}: ${message}`)];
  return lines.map((line) => `\n${keyOf(row.identity)} ${line}\n`).join("");
}

function conditionOf({ status: reported }: Row, type: ConditionType): Condition | undefined {
  return reported?.conditions.find((condition) => condition.type === type);
}

function when(time: string | undefined, now: Date): string {
  return time === undefined ? "-" : relative(new Date(time), now);
}
