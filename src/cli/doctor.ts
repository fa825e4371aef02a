import { LazyKubeClient } from "../app/lazy-kube-client.ts";
import { systemClock } from "../runtime/clock.ts";
import { ClusterAccess } from "../app/cluster-access.ts";
import { checked } from "../doctor/checked.ts";
import { clusterChecks } from "../doctor/cluster-checks.ts";
import { ingressChecks } from "../doctor/ingress-checks.ts";
import { emissaryChecks } from "../doctor/emissary-checks.ts";
import { type Installation, installationsOf } from "../doctor/installations.ts";
import { leadershipCheck } from "../doctor/leadership.ts";
import { accountOf, permissionChecks } from "../doctor/permission-checks.ts";
import { preChecks } from "../doctor/pre-checks.ts";
import { replicaChecks } from "../doctor/replica-checks.ts";
import { statusChecks } from "../doctor/status-checks.ts";
import type { LoadedSettings } from "../config/load.ts";
import type { Check } from "../mesh/port.ts";
import { selectorOf } from "../render/marks.ts";
import { version } from "../app/version.ts";
import { openMeshes } from "../app/meshes.ts";
import { createLogger } from "../telemetry/logger.ts";
import { someOf } from "../text/some-of.ts";
import { UsageError } from "./errors.ts";
import { type Column, outputOf, print } from "./output.ts";
import { type ClusterPlace, type CommandPlace, placeOf } from "./place.ts";
import type { DoctorOptions } from "./options.ts";

/** Prints the result of each check; exit status 1 if one has failed. */
export async function doctor(options: DoctorOptions): Promise<void> {
  const output = outputOf(options.output);
  await using place = await placeOf(options);
  const checks = await checksOf(place, options);
  print(output, { rows: checks, columns, data: checks, notes: remediesOf(checks) });
  if (checks.some(({ status }) => status === "failed")) process.exitCode = 1;
}

/** Each once, after the names of all checks that it is for. */
export function remediesOf(checks: readonly Check[]): string[] {
  const names = new Map<string, Set<string>>();
  for (const { name, remedy } of checks) {
    if (remedy === undefined) continue;
    names.set(remedy, (names.get(remedy) ?? new Set()).add(name));
  }
  return [...names].map(([remedy, having]) => `${someOf([...having], 5)}: ${remedy}`);
}

const columns: readonly Column<Check>[] = [
  { heading: "", cell: ({ status }) => signs[status] },
  { heading: "CHECK", cell: ({ name }) => name },
  { heading: "FOUND", cell: ({ message }) => message },
];

const signs: Readonly<Record<Check["status"], string>> = { ok: "ok", warning: "?", failed: "NO" };

/** All that `attache doctor` finds. */
export async function checksOf(
  place: CommandPlace,
  options: Pick<DoctorOptions, "installation" | "pre">,
): Promise<readonly Check[]> {
  if (place.kind === "directory") {
    if (options.pre ?? options.installation)
      throw new UsageError("--pre and --installation are for clusters, and the settings name a directory");
    return checksOfMeshes(place, place.loaded);
  }
  const { api, loaded } = place;
  const general = await clusterChecks({
    api,
    clockSkewMs: loaded?.settings.limits.clockSkew ?? defaultSkewMs,
    isBefore: options.pre === true,
  });
  // No further check runs when the API server is unreachable.
  if (general.length === 1) return general;
  const named = [options.installation ?? loaded?.settings.installation ?? []].flat();
  const installations = await installationsOf({ api, namespace: place.namespace, named });
  if (options.pre !== undefined) return [...general, ...(await preChecks(api, installations))];
  const found = await Promise.all(installations.map((one) => checksOfInstallation(place, one)));
  const scopes = installations.map((one) => scopeOf(place, one));
  const namespaces = [...new Set(scopes.flatMap((scope) => scope.namespaces))];
  const emissaries = scopes.flatMap(({ emissary }) => emissary);
  const userAgent = `attache/${version}`;
  return [
    ...general,
    ...found.flat(),
    ...(await checked("TLSContexts", () => emissaryChecks(api, namespaces))),
    ...(await checked("identities", () => statusChecks(api, namespaces))),
    ...(await checked("Emissary", () => ingressChecks({ api, emissaries, userAgent }))),
    ...(await checksOfMeshes(place, loaded)),
  ];
}

const defaultSkewMs = 60_000;

/** Where attaché acts, by the settings of this process, or else by those in its ConfigMap. */
function scopeOf({ loaded, namespace }: ClusterPlace, { settings: own, home }: Installation) {
  const { emissary = [], store, console } = (loaded ?? own?.loaded)?.settings ?? {};
  const acting = store?.kubernetes.namespaces ?? [];
  const namespaces = acting.length > 0 ? acting : [store === undefined ? namespace : undefined];
  return {
    namespaces,
    consumersIn: store?.kubernetes.consumers.clusterWide === false ? namespaces : [undefined],
    touchesMappings: emissary.some(({ touchMappings }) => touchMappings),
    reviewsTokens: console?.enabled === true && console.auth,
    emissary: emissary.map((one) => ({ ...one, namespace: one.namespace ?? home })),
  };
}

async function checksOfInstallation(
  place: ClusterPlace,
  installation: Installation,
): Promise<readonly Check[]> {
  const { api, namespace } = place;
  const { name, home, replicas, hasPublished: isInstalled, settings } = installation;
  const { emissary, ...scope } = scopeOf(place, installation);
  const namespaces = [...new Set([home, namespace ?? home, api.namespace])];
  const lease = { api, installation: name, namespaces, isInstalled };
  const clockSkewMs = settings?.loaded?.settings.limits.clockSkew ?? defaultSkewMs;
  return [
    await leadershipCheck(lease),
    ...(replicas.length === 0 ? [withoutPods(installation)] : []),
    ...(await replicaChecks({ api, replicas, wanted: settings?.text, clockSkewMs, version })),
    ...(await checked("permissions", async () =>
      permissionChecks({
        ...{ api, home, installation: name, ...scope },
        emissaryNamespaces: [...new Set(emissary.map((one) => one.namespace))],
        account: await accountOf(api, replicas[0], place.loaded !== undefined),
      }),
    )),
  ];
}

function withoutPods({ name, home }: Installation): Check {
  return {
    name: `replicas of ${name}`,
    status: "warning",
    message: `not checked: no pod in ${home} has the label ${selectorOf(name)}, or the caller may not list pods`,
    remedy: `Name attaché's namespace with -n, and have the right to list pods there; without the chart, set the label.`,
  };
}

async function checksOfMeshes(
  place: CommandPlace,
  loaded: LoadedSettings | undefined,
): Promise<readonly Check[]> {
  if (loaded === undefined) {
    return [
      {
        name: "meshes",
        status: "warning",
        message: "not checked from here: it takes attaché's settings, files and network",
        remedy: "Run the doctor where attaché runs: kubectl exec deploy/NAME -- attache doctor",
      },
    ];
  }
  const { clock, logger, env } = { clock: systemClock, logger: createLogger("silent"), env: process.env };
  await using onDemand = new LazyKubeClient({ ...loaded.settings.store.kubernetes, env, clock });
  const api = place.kind === "kubernetes" ? () => Promise.resolve(place.api) : onDemand.api;
  const cluster = new ClusterAccess({ api, clock, logger });
  await using meshes = await openMeshes({ loaded, clock, logger, env, cluster });
  const found = await Promise.all(
    [...meshes.byName].map(async ([name, mesh]) =>
      (await mesh.check()).map((check) => ({ ...check, name: `${name}: ${check.name}` })),
    ),
  );
  return found.flat();
}
