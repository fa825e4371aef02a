import { styleText } from "node:util";
import type { CertificateFacts, HealthLevel, IdentityDetail } from "../console/page-data.ts";
import { levelOfRoot } from "../console/problems.ts";
import { consumerKey } from "../emissary/consumer.ts";
import type { Check } from "../mesh/port.ts";
import { type Column, relative, table } from "./output.ts";

/** All that `attache inspect` says of one identity. */
export interface Story extends IdentityDetail {
  /** Whether attaché works. */
  readonly attache: readonly Check[];
  /** When a renewal was requested that has not happened yet. */
  readonly renewRequested?: string;
  /** What exists of the published objects, as KIND NAME; absent where the caller may not read them. */
  readonly objects?: readonly string[];
  /** In a folder, the published files. */
  readonly files?: readonly string[];
  /** In a cluster; the newest first. */
  readonly events?: readonly PastEvent[];
  /** What the caller may not see, and why. */
  readonly missing: readonly string[];
}

export interface PastEvent {
  readonly at: string;
  readonly isWarning: boolean;
  readonly reason: string;
  readonly note: string;
  readonly count: number;
}

export interface StoryTextOptions {
  readonly now: Date;
  readonly isWide: boolean;
}

/** As a page for a terminal of 80 columns, which reads the same without color. */
export function storyText(story: Story, options: StoryTextOptions): string {
  const { now } = options;
  const sections: readonly (readonly [string, readonly string[]])[] = [
    [story.row.key, headOf(story)],
    ["LIFE", lifeOf(story, now)],
    ["PUBLISHED", publishedOf(story)],
    ["CERTIFICATES", certificatesOf(story, options)],
    ["USED BY", usersOf(story)],
    ["CONDITIONS", conditionsOf(story, now)],
    ["HISTORY", historyOf(story, now)],
    ["NOT SHOWN", story.missing],
  ];
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([heading, lines]) => `${[styleText("bold", heading), ...lines].join("\n")}\n`)
    .join("\n");
}

function headOf({ row, attache, keyType, chain: [leaf], conditions, roots, leftOut }: Story): string[] {
  const problems = [
    ...conditions,
    ...[...roots.flatMap(({ remark }) => remark ?? []), ...leftOut].map(({ reason }) => {
      return { type: "Root", reason, level: levelOfRoot(reason) };
    }),
  ];
  const open = problems.filter(({ level }) => level === row.level);
  const reasons = open.map(({ type, reason }) => `${type}: ${reason}`).join(", ");
  return [
    ...attache.map(({ message }) => fact("attaché", message)),
    fact("state", row.level === "good" ? words.good : `${words[row.level]}${reasons && ` (${reasons})`}`),
    fact("SPIFFE ID", row.spiffeId ?? leaf?.name ?? "-"),
    fact("mesh", row.mesh),
    ...(keyType === undefined ? [] : [fact("key", keyType)]),
  ];
}

const words: Readonly<Record<HealthLevel, string>> = {
  good: "all is well",
  waiting: "waiting",
  warning: "needs attention",
  alarm: "ACT NOW",
};

function lifeOf({ row: { renewal }, chain: [leaf], rotations, renewRequested }: Story, now: Date): string[] {
  if (leaf === undefined) return ["Nothing is published. CONDITIONS says why."];
  const renewalAt = renewal === undefined ? undefined : new Date(renewal * 1_000);
  const life = { start: new Date(leaf.notBefore), end: new Date(leaf.notAfter), renewal: renewalAt };
  const [last] = rotations;
  return [
    `${lifeBar(life, now, 60)}  N now${renewalAt === undefined ? "" : ", R renewal"}`,
    fact("issued", moment(life.start, now)),
    ...(renewalAt === undefined ? [] : [fact("renewal", moment(renewalAt, now))]),
    fact("end", moment(life.end, now)),
    ...(last === undefined ? [] : [fact("rotated", moment(new Date(last.at), now))]),
    ...(renewRequested === undefined
      ? []
      : [fact("requested", `a renewal, ${moment(new Date(renewRequested), now)}; not done yet`)]),
  ];
}

interface Life {
  readonly start: Date;
  readonly end: Date;
  readonly renewal?: Date | undefined;
}

/** `[====N...R....]`: what has passed, now, the renewal. N is outside before the start and after the end. */
export function lifeBar({ start, end, renewal }: Life, now: Date, width: number): string {
  const cell = (at: Date) =>
    Math.floor((width * (at.getTime() - start.getTime())) / Math.max(1, end.getTime() - start.getTime()));
  const passed = cell(now);
  const cells: string[] = Array.from({ length: width }, (_, index) => (index < passed ? "=" : "."));
  const mark = (at: number, sign: string): void => {
    if (at >= 0 && at < width) cells[at] = sign;
  };
  if (renewal !== undefined) mark(cell(renewal), "R");
  mark(passed, "N");
  return `${passed < 0 ? "N" : ""}[${cells.join("")}]${passed >= width ? "N" : ""}`;
}

function publishedOf({ published, objects, files, chain, row }: Story): string[] {
  const { secret, caSecret, crlSecret, tlsContext } = published;
  const [namespace = ""] = row.key.split("/");
  const named = [
    ["Secret", "Secret", secret],
    ["CA Secret", "Secret", caSecret],
    ...(crlSecret === undefined ? [] : [["CRL Secret", "Secret", crlSecret] as const]),
    ["TLSContext", "TLSContext", tlsContext],
  ] as const;
  if (files !== undefined) return chain.length === 0 ? [] : [...files];
  return named.map(([label, kind, name]) => {
    const isMissing = objects !== undefined && !objects.includes(`${kind} ${name}`);
    return fact(label, `${namespace}/${name}${isMissing ? "  MISSING" : ""}`);
  });
}

interface CertificateRow {
  readonly role: string;
  readonly one: CertificateFacts;
}

function certificatesOf(story: Story, { now, isWide }: StoryTextOptions): string[] {
  const { chain, roots, leftOut } = story;
  const rows: readonly CertificateRow[] = [
    ...chain.map((one, index) => ({ role: index === 0 ? "leaf" : "intermediate", one })),
    ...roots.map((one) => ({ role: one.state === "retiring" ? "retiring root" : "root", one })),
  ];
  const notes = [
    ...roots.flatMap(({ fingerprint, retireAt, remark }) => [
      ...(retireAt === undefined
        ? []
        : [`${short(fingerprint)} is retiring: the mesh no longer lists it. It stays until ${retireAt}.`]),
      ...(remark === undefined ? [] : [`${short(fingerprint)} ${remark.reason}: ${remark.message}`]),
    ]),
    ...leftOut.map(({ fingerprint, reason, message }) => {
      return `${short(fingerprint)} is left out, ${reason}: ${message}`;
    }),
  ];
  if (rows.length === 0) return notes;
  const columns: readonly Column<CertificateRow>[] = [
    { heading: "ROLE", cell: ({ role }) => role },
    { heading: "LIFE", cell: ({ one }) => barOf(one, now) },
    { heading: "EXPIRES", cell: ({ one }) => relative(new Date(one.notAfter), now) },
    { heading: "SHA-256", cell: ({ one }) => (isWide ? one.fingerprint : short(one.fingerprint)) },
    { heading: "NAME", cell: ({ one }) => one.name },
    { heading: "SERIAL", cell: ({ one }) => one.serialNumber, wide: true },
    { heading: "ISSUER", cell: ({ one }) => one.issuer, wide: true },
  ];
  return [
    table(
      rows,
      columns.filter(({ wide }) => isWide || wide !== true),
    ).trimEnd(),
    ...notes,
  ];
}

/** As many digits as `attache distrust` needs. */
function short(fingerprint: string): string {
  return fingerprint.slice(0, 8);
}

function barOf({ notBefore, notAfter }: CertificateFacts, now: Date): string {
  return lifeBar({ start: new Date(notBefore), end: new Date(notAfter) }, now, 12);
}

function usersOf({ users, moreUsers, exposures, status }: Story): string[] {
  if (users.length === 0)
    return [status === undefined ? "Not known yet." : "Nothing names the TLSContext or the Secrets."];
  const messages = new Map(exposures.map((one) => [consumerKey(one), one.message]));
  const lines = users.flatMap((one) => {
    const { level, exposure, secret } = one;
    const user = consumerKey(one);
    const message = messages.get(user);
    const place = secret === undefined ? "protected" : `names Secret ${secret}`;
    const state = exposure?.toUpperCase() ?? (level === "good" ? place : `${place}, FROM ANOTHER NAMESPACE`);
    return [`${user}  ${state}`, ...(message === undefined ? [] : [`  ${message}`])];
  });
  return [...lines, ...(moreUsers > 0 ? [`and ${moreUsers} more`] : [])];
}

function conditionsOf({ conditions, command, status }: Story, now: Date): string[] {
  if (status === undefined) return ["No attaché has looked at it yet. Is one running?", `  → ${command}`];
  const columns: readonly Column<Story["conditions"][number]>[] = [
    { heading: "TYPE", cell: ({ type }) => type },
    { heading: "", cell: ({ status: is, level }) => answerOf(is, level) },
    { heading: "REASON", cell: ({ reason }) => reason },
    { heading: "SINCE", cell: ({ lastTransitionTime }) => relative(new Date(lastTransitionTime), now) },
  ];
  const [, ...rows] = table(conditions, columns).trimEnd().split("\n");
  return conditions.flatMap(({ message, next }, index) => [
    rows[index] ?? "",
    `  ${message}`,
    ...(next === undefined ? [] : [`  → ${next}`]),
  ]);
}

function answerOf(is: string, level: HealthLevel): string {
  const answer = { True: "yes", False: "no", Unknown: "unknown" }[is] ?? is;
  return level === "alarm" ? answer.toUpperCase() : answer;
}

/** So many lines of the past are shown. */
const maxPast = 20;

function historyOf({ rotations, events = [] }: Story, now: Date): string[] {
  const past = [
    ...rotations.map(({ at, cause }) => ({ at, text: cause === "last" ? "Rotation" : `Rotation: ${cause}` })),
    ...events.map(({ at, reason, note, count, isWarning }) => ({
      at,
      text: `${isWarning ? "! " : ""}${reason}${count > 1 ? ` (${count} times)` : ""}: ${note}`,
    })),
  ].toSorted((one, other) => Date.parse(other.at) - Date.parse(one.at));
  return past.slice(0, maxPast).map(({ at, text }) => fact(relative(new Date(at), now), text));
}

function moment(at: Date, now: Date): string {
  return `${relative(at, now).padEnd(10)}  ${at.toISOString().replace(/\.\d+Z$/, "Z")}`;
}

function fact(name: string, value: string): string {
  return `${name.padEnd(12)}${value}`;
}
