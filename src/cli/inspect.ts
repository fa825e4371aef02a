import { access } from "node:fs/promises";
import { keyOf } from "../api/mesh-certificate.ts";
import { requestAnnotations } from "../api/requests.ts";
import { Commands } from "../console/commands.ts";
import { detailOf } from "../console/detail.ts";
import { rowAt } from "../console/snapshots.ts";
import { eventsIn } from "../doctor/events.ts";
import { exposuresIn } from "../doctor/exposures.ts";
import { secretUsersIn } from "../doctor/secret-users.ts";
import { fieldsOf, textOf } from "../emissary/fields.ts";
import { ApiError, hasCode } from "../kube/api-error.ts";
import type { ApiObject } from "../kube/object.ts";
import { targetObjects } from "../render/names.ts";
import { readBack } from "../render/read-back.ts";
import { Layout } from "../store/directory/layout.ts";
import type { IdentityView } from "../store/store.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { UsageError } from "./errors.ts";
import type { InspectOptions } from "./options.ts";
import { isTable, outputOf, print } from "./output.ts";
import { type ClusterPlace, type CommandPlace, placeOf } from "./place.ts";
import { type PastEvent, type Story, storyText } from "./story.ts";
import { viewsOf } from "./views.ts";
import { workingIn } from "./working.ts";

/**
 * Prints the whole story of one identity, but no key: what is published and until when, who uses it, its
 * conditions and its history. Exit status 1 if nothing is published.
 */
export async function inspect(name: string, options: InspectOptions): Promise<void> {
  const now = new Date();
  const output = outputOf(options.output);
  await using place = await placeOf(options);
  const { views } = await viewsOf(place, { names: [name] });
  const [view, another] = views;
  if (view === undefined) return;
  if (another !== undefined) {
    throw new UsageError(`there is a MeshCertificate "${name}" in ${views.length} namespaces`, {
      remedy: `Name one of: ${views.map(({ identity }) => keyOf(identity)).join(", ")}.`,
    });
  }
  const story = await storyOf(place, view, now);
  if (isTable(output)) process.stdout.write(storyText(story, { now, isWide: output.format === "wide" }));
  else print(output, { rows: [], columns: [], data: story });
  if (story.chain.length === 0) process.exitCode = 1;
}

async function storyOf(place: CommandPlace, view: IdentityView, now: Date): Promise<Story> {
  const { identity, status } = view;
  const missing: string[] = [];
  const manifests = await unlessForbidden("the certificates", missing, () => view.manifests());
  const { credential, bundle } = await readBack(identity, manifests ?? [], now);
  const one = {
    ...{ identity, status, hasLooked: status !== undefined },
    certificates: { chain: credential?.chain ?? [], bundle },
  };
  const settings = place.loaded?.file;
  const isCluster = place.kind === "kubernetes";
  const commands = new Commands({ isCluster, ...(settings !== undefined && { settings }) });
  const seen = isCluster ? await seenIn(place, missing) : {};
  const events = isCluster ? await eventsOf(place, identity.metadata, missing) : undefined;
  const requested = identity.metadata.annotations?.[requestAnnotations.renew];
  return {
    ...detailOf(rowAt(one, now), one, { commands, ...seen }),
    attache: await workingIn(place, [view]),
    ...(requested !== undefined && requested !== status?.lastRenewRequest && { renewRequested: requested }),
    ...(place.kind === "directory" && {
      files: await filesOf(place.loaded.settings.store.directory.path, view),
    }),
    ...(manifests && { objects: manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`) }),
    ...(events && { events }),
    missing,
  };
}

/** What names contexts and Secrets, wherever the caller may look. */
async function seenIn({ api, namespace }: ClusterPlace, missing: string[]) {
  const read = async (scope: string | undefined) => {
    const [{ consumers, exposures }, secretUsers] = await Promise.all([
      exposuresIn({ api, namespace: scope, readsSecrets: false }),
      secretUsersIn(api, scope),
    ]);
    return { consumers, exposures, secretUsers };
  };
  const what = "users that attaché has not reported";
  const everywhere = await unlessForbidden(what, missing, () => read(undefined));
  if (everywhere !== undefined || namespace === undefined) return everywhere;
  return unlessForbidden(what, [], () => read(namespace));
}

/** So many Events are kept, the newest ones. */
const maxEvents = 20;

async function eventsOf(
  { api }: ClusterPlace,
  { namespace, uid = "" }: IdentityView["identity"]["metadata"],
  missing: string[],
): Promise<PastEvent[] | undefined> {
  const events = await unlessForbidden("Events", missing, () => eventsIn(api, namespace, uid));
  return events
    ?.map(pastEvent)
    .toSorted((one, other) => Date.parse(other.at) - Date.parse(one.at))
    .slice(0, maxEvents);
}

function pastEvent({ eventTime, series, type, reason, note }: ApiObject): PastEvent {
  const { lastObservedTime, count } = fieldsOf(series);
  return {
    at: textOf(lastObservedTime) || textOf(eventTime),
    isWarning: type === "Warning",
    reason: sanitizePeerText(textOf(reason)),
    note: sanitizePeerText(textOf(note)),
    count: typeof count === "number" ? count : 1,
  };
}

/** The published files that exist. */
async function filesOf(folder: string, { identity }: IdentityView): Promise<string[]> {
  const layout = new Layout(folder);
  const { namespace, name } = identity.metadata;
  const paths = [...targetObjects(identity), { kind: "PemSet", namespace, name } as const].map((ref) =>
    layout.path(ref),
  );
  const exist = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return paths.filter((_, index) => exist[index]);
}

/** What the caller may not see is named in `missing`, and does not hide the rest. */
async function unlessForbidden<T>(
  what: string,
  missing: string[],
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof ApiError) || !hasCode(error, "ATTACHE_KUBERNETES_FORBIDDEN")) throw error;
    missing.push(`${what}: ${error.problem}`);
    return undefined;
  }
}
