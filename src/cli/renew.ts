import { keyOf } from "../api/mesh-certificate.ts";
import { requestAnnotations } from "../api/requests.ts";
import { conditionOf } from "../api/status.ts";
import { systemClock } from "../runtime/clock.ts";
import type { IdentityView } from "../store/store.ts";
import { UsageError } from "./errors.ts";
import { annotate, type CommandPlace, placeOf } from "./place.ts";
import type { RenewOptions } from "./options.ts";
import { someOf } from "../text/some-of.ts";
import { durationOf, timeout, untilSignalled } from "./signals.ts";
import { followViews, sayNothingIn, viewsOf } from "./views.ts";

/**
 * Asks attaché for new leaves, one identity after the other, by an annotation: a user who may edit a
 * MeshCertificate may renew it, and attaché takes them in turn. With `--wait`, exit status 1 if one is not
 * renewed in time.
 */
export async function renew(names: readonly string[], options: RenewOptions): Promise<void> {
  const { all, selector, wait } = options;
  if (names.length > 0 && (all ?? selector) !== undefined) {
    throw new UsageError("cannot combine names and --all or -l", { remedy: "Leave one of them out." });
  }
  if (names.length === 0 && all === undefined && selector === undefined) {
    throw new UsageError("no MeshCertificate is named", { remedy: "Name some, or write --all or -l." });
  }
  const waitMs = wait === undefined ? undefined : durationOf(wait === true ? "60s" : wait);
  await using place = await placeOf(options);
  const view = await viewsOf(place, { names, selector });
  sayNothingIn(place, view, { selector });
  const { views } = view;
  const value = new Date().toISOString();
  for (const { identity } of views) {
    await annotate(place, identity, requestAnnotations.renew, value);
    process.stdout.write(`${keyOf(identity)}: a new leaf is asked for\n`);
  }
  if (waitMs !== undefined && views.length > 0) await untilRenewed(place, views, value, waitMs);
}

const lookEveryMs = 500;

async function untilRenewed(
  place: CommandPlace,
  asked: readonly IdentityView[],
  value: string,
  waitMs: number,
): Promise<void> {
  const ended = AbortSignal.any([untilSignalled(), timeout(waitMs)]);
  const before = new Map(asked.map((view) => [keyOf(view.identity), view.status?.serialNumber]));
  const waiting = new Map(asked.map((view) => [keyOf(view.identity), view]));
  await using over = await followViews(place, { names: [...waiting.keys()] });
  while (!ended.aborted) {
    for (const view of (await over.look()).views) {
      const key = keyOf(view.identity);
      if (!waiting.has(key)) continue;
      waiting.set(key, view);
      const { lastRenewRequest, serialNumber, notAfter } = view.status ?? {};
      if (lastRenewRequest !== value || serialNumber === before.get(key)) continue;
      waiting.delete(key);
      process.stdout.write(`${key}: renewed, valid until ${notAfter ?? "-"}\n`);
    }
    if (waiting.size === 0) return;
    await systemClock.sleep(lookEveryMs, ended).catch(() => undefined);
  }
  const lines = [...waiting.values()].map(({ identity, status }) => {
    const why = ["SourceReady", "Ready"] as const;
    const open = why.map((type) => conditionOf(status, type)).find((one) => one?.status !== "True");
    return `${keyOf(identity)}${open === undefined ? "" : `: ${open.message}`}`;
  });
  const [first = ""] = waiting.keys();
  process.stderr.write(
    `\nnot renewed yet: ${someOf(lines, 20)}\n  → Run \`attache status\` to see whether attaché works, and \`attache inspect ${first}\`.\n`,
  );
  process.exitCode = 1;
}
