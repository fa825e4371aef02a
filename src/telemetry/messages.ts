import type { Code } from "../errors/codes.ts";
import type { Level } from "./loggable.ts";

/**
 * All messages of the log; `docs/logs.md` is generated from them. The text is constant: what differs stands
 * in fields. `error` is for bugs of attaché, and for what exposes or ends: a failure of the mesh or the store
 * is a condition, and at most a warning.
 */
export const messages = {
  Started: info("started", ["address", "meshes", "store"], "attaché works with the settings of the file."),
  Ended: info("ended", [], "attaché ended after SIGTERM or SIGINT."),
  EndForced: error(
    "did not end within the time, and is ended",
    ["withinMs"],
    "An adapter or a disk hangs. All writes are atomic, so nothing is left incomplete.",
    { code: "ATTACHE_INTERNAL" },
  ),
  SettingsChanged: info(
    "the settings have changed",
    [],
    "attaché starts again with them, in the same process. No leaf is requested for it.",
  ),
  LevelChanged: info(
    "the log level has changed",
    ["to"],
    "`log.level` alone has changed in the settings, which restarts nothing.",
  ),
  SettingsRefused: warn(
    "the new settings are wrong; the old ones stay in force",
    ["err"],
    "The file does not load, or a mesh refuses its settings.",
  ),
  StartRefused: warn(
    "no start with the new settings; the old ones stay in force",
    ["err"],
    "The settings are valid, but attaché could not start with them: a port is in use, for example.",
  ),
  Bug: error(
    "bug: please report",
    ["what", "err"],
    "attaché failed in a way that it does not handle, and tries again.",
    { code: "ATTACHE_INTERNAL", isCounted: true },
  ),
  MeshConnected: info("connected to mesh", [], "The control plane or agent of the mesh answers.", {
    of: "mesh",
  }),
  MeshDisconnected: warn(
    "lost connection to mesh",
    ["err"],
    "Published leaves stay valid. attaché connects again by itself.",
    { of: "mesh" },
  ),
  MeshRootsMissing: warn(
    "the mesh's roots are not found any more",
    ["err"],
    "The roots from before stay in use.",
    { of: "mesh", isCounted: true },
  ),
  LoginNotEnded: warn(
    "the token of a login could not be given back",
    ["err", "remedy"],
    "Consul keeps the token until it expires.",
    { of: "mesh", isCounted: true },
  ),
  AdapterDebug: debug("remark of an adapter", ["remark", "err"], "A plug-in reports a detail.", {
    of: "mesh",
  }),
  AdapterInfo: info("report of an adapter", ["remark", "err"], "A plug-in reports a fact.", { of: "mesh" }),
  AdapterWarning: warn("warning of an adapter", ["remark", "err"], "A plug-in reports a problem.", {
    of: "mesh",
    isCounted: true,
  }),
  CredentialReceived: debug(
    "credential received",
    ["serialNumber", "notAfter"],
    "The mesh has sent a leaf with its roots. The policies have not judged it yet.",
    { of: "identity" },
  ),
  CredentialRejected: warn(
    "credential rejected",
    ["policy", "err"],
    "A policy refuses what the mesh has sent. The last good credential stays published.",
    { of: "identity" },
  ),
  NoCredential: warn(
    "no credential",
    ["err"],
    "The mesh refuses a credential or does not answer. attaché asks again with back-off.",
    { of: "identity", isCounted: true },
  ),
  Reconciled: debug(
    "reconciled",
    ["requeueAt"],
    "What is published and the status are as they should be, or a failure is logged beside it.",
    { of: "identity" },
  ),
  Published: info(
    "published",
    ["cause", "serialNumber", "notAfter", "writes"],
    "A rotation: the store holds a new leaf, new roots or both.",
    { of: "identity" },
  ),
  RevocationListsPublished: info(
    "revocation lists published",
    ["writes"],
    "The store holds other revocation lists than before.",
    { of: "identity" },
  ),
  Repaired: info(
    "repaired",
    ["writes"],
    "Published objects were not as attaché had written them, and are again.",
    { of: "identity" },
  ),
  NotPublished: warn(
    "not published",
    ["err"],
    "The store refuses a write or does not answer. attaché tries again with back-off.",
    { of: "identity", isCounted: true },
  ),
  StatusNotWritten: warn(
    "status not written",
    ["err"],
    "The status of the MeshCertificate is older than what is published. attaché tries again.",
    { of: "identity", isCounted: true },
  ),
  UnknownRoot: warn(
    "unknown root",
    ["problem"],
    "The CA Secret holds a root that neither the mesh nor the status knows: another client wrote it.",
    { of: "identity" },
  ),
  Withdrawn: info("withdrawn", [], "The MeshCertificate is gone, and so is what was published for it.", {
    of: "identity",
  }),
  NotWithdrawn: warn(
    "not withdrawn",
    ["err"],
    "What is published for a deleted MeshCertificate is still there. attaché tries again.",
    { of: "identity", isCounted: true },
  ),
  Orphaned: error(
    "an identity is orphaned: its leaf will end",
    ["reason"],
    "The installation published it and may no longer renew it: its settings lost the namespace or mesh.",
    { of: "identity" },
  ),
  IdentityInvalid: warn("a MeshCertificate cannot be read", ["err"], "What was known of it stays in force.", {
    isCounted: true,
  }),
  Leading: info("leading", [], "This replica has the Lease, and does the work."),
  StandingBy: info("standing by", ["holder"], "Another replica leads. This one waits and writes nothing."),
  LeadershipLost: warn(
    "no longer leading",
    ["reason"],
    "This replica stopped its work, and waits until it leads again.",
  ),
  LeaseReleased: info("gave the lease back", [], "Another replica can lead at once."),
  LeaseNotReleased: warn(
    "could not give the lease back; others wait until it has run out",
    ["err"],
    "The next leader begins when the Lease has expired.",
  ),
  LeaseUnavailable: warn(
    "cannot read or write the lease; trying again",
    ["err"],
    "Without the Lease, no replica leads for long.",
    { isCounted: true },
  ),
  WatchFailed: warn(
    "cannot watch; trying again",
    ["what", "err"],
    "attaché does not see changes of these objects until it watches them again.",
  ),
  WatchRestored: info("watching again", ["what"], "attaché has read what changed in the meantime."),
  KindUnknown: info(
    "the API server does not know the kind; looking for it repeatedly",
    ["what"],
    "The CRD of these objects is not installed.",
  ),
  ListFailed: warn(
    "what is published cannot be listed: reading it one by one",
    ["err"],
    "The start takes more requests than usual.",
  ),
  EventNotWritten: warn(
    "an Event was not written",
    ["err"],
    "`kubectl describe` misses a line. Nothing depends on Events.",
    { isCounted: true },
  ),
  ApiRequest: debug(
    "request to the API server",
    ["verb", "path", "code"],
    "An answer, or none: then `code` is absent. Bodies are not logged.",
  ),
  NamespaceLeft: info(
    "the own namespace ends: let go of its identities",
    ["namespace", "count"],
    "The finalizers are removed, so that the deletion of the namespace can complete.",
  ),
  NamespaceNotLeft: warn(
    "could not let go of the identities in a namespace that ends",
    ["namespace", "err"],
    "The namespace stays Terminating until the finalizers of its MeshCertificates are removed.",
  ),
  NotServed: warn(
    "the ingress has not loaded what is published",
    ["reason", "problem"],
    "attaché touches objects until it has.",
    { of: "identity" },
  ),
  IngressAlarm: error(
    "the ingress exposes requests, or takes no configuration",
    ["reason", "problem"],
    "The condition Served has the reason Exposed or Frozen. Act on it now.",
    { of: "identity" },
  ),
  Touched: info(
    "touched an object: the ingress has missed a change",
    ["kind", "namespace", "name", "emissary"],
    "An annotation makes Emissary load what is published.",
  ),
  NotTouched: warn(
    "an object could not be touched for the ingress",
    ["kind", "namespace", "name", "emissary", "err"],
    "Emissary may still present a former leaf. attaché tries again.",
    { isCounted: true },
  ),
  FolderNotWatched: warn(
    "a folder cannot be watched; it is looked at now and then",
    ["folder", "err"],
    "Changes are seen later.",
  ),
  FolderClosed: warn(
    "others had access to a folder of keys: closed",
    ["folder", "mode"],
    "Its mode is 700 now. Other users may have read keys before.",
  ),
  FolderVisible: warn(
    "others may see what the folder holds, though not read it",
    ["folder", "mode"],
    "Names are visible to other users of the machine; keys are not.",
  ),
  PublishedUnreadable: warn(
    "something that may be published cannot be read",
    ["err"],
    "attaché does not know whether it wrote the file, and does not withdraw it.",
    { isCounted: true },
  ),
} as const satisfies Readonly<Record<string, Message>>;

/** What a field holds. Those that metrics have as labels have the name of the label. */
export const fields = {
  namespace: "of the MeshCertificate, or of the object that the line is about",
  name: "of the same",
  kind: "of the object that the line is about",
  mesh: "its name in the settings",
  emissary: "its name in the settings",
  code: "a code of [errors.md](errors.md), or the HTTP status of an answer",
  verb: "of a request to the API server, as in RBAC",
  path: "of a request",
  policy: "the policy that refuses a credential",
  cause: "what is new in a rotation: initial, leaf, root or both",
  reason: "why, in a word or a sentence",
  problem: "the fact, in a sentence",
  remedy: "what to do",
  remark: "a sentence of a plug-in",
  err: "the failure: `type`, `code`, `message`, `remedy`, and `cause` with the same; a `stack` where no remedy is known",
  what: "the objects that are watched, or the work that failed",
  serialNumber: "of the leaf",
  notAfter: "when the leaf expires",
  writes: "the number of objects written",
  count: "the number of identities",
  holder: "the replica that leads",
  address: "at which probes and metrics are served",
  meshes: "the names of the meshes in the settings",
  store: "`kubernetes` or `directory`",
  folder: "its path",
  mode: "its permissions, in octal",
  to: "the level that is in force now",
  requeueAt: "when the identity is reconciled again if nothing happens",
  withinMs: "the time, in milliseconds",
} as const;

export type FieldName = keyof typeof fields;
/** Each line about a mesh or an identity has these fields too. */
export const fieldsOf = { mesh: ["mesh"], identity: ["namespace", "name", "mesh"] } as const;

export interface Message {
  readonly level: Exclude<Level, "silent">;
  readonly text: string;
  /** What the line is about, whose {@link fieldsOf} the logger adds. */
  readonly of?: keyof typeof fieldsOf;
  readonly fields: readonly FieldName[];
  /** Of the registry of errors, where the message is about no other error. */
  readonly code?: Code;
  /** Whether equal lines within ten minutes are counted. Changes of a state are always written. */
  readonly isCounted?: boolean;
  /** For the operator: what holds now, and what attaché does about it. */
  readonly meaning: string;
}

type Entry<F extends Message["fields"]> = readonly [
  text: string,
  fields: F,
  meaning: string,
  more?: Pick<Message, "of" | "code" | "isCounted">,
];

function debug<const F extends Message["fields"]>(...entry: Entry<F>) {
  return message("debug", entry);
}

function info<const F extends Message["fields"]>(...entry: Entry<F>) {
  return message("info", entry);
}

function warn<const F extends Message["fields"]>(...entry: Entry<F>) {
  return message("warn", entry);
}

function error<const F extends Message["fields"]>(...entry: Entry<F>) {
  return message("error", entry);
}

function message<L extends Message["level"], F extends Message["fields"]>(
  level: L,
  [text, fields, meaning, more]: Entry<F>,
) {
  return { level, text, fields, meaning, ...more };
}

export type MessageId = keyof typeof messages;
/** The fields that a call of `log` must give. `undefined` leaves one out. */
export type FieldsOf<I extends MessageId> = (typeof messages)[I]["fields"] extends readonly []
  ? []
  : [fields: Readonly<Record<(typeof messages)[I]["fields"][number], unknown>>];
