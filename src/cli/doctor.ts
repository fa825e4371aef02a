import { LazyKubeClient } from "../app/lazy-kube-client.ts";
import { systemClock } from "../runtime/clock.ts";
import { ClusterAccess } from "../app/cluster-access.ts";
import { clusterChecks } from "../doctor/cluster-checks.ts";
import { ingressChecks } from "../doctor/ingress-checks.ts";
import { emissaryChecks } from "../doctor/emissary-checks.ts";
import { statusChecks } from "../doctor/status-checks.ts";
import type { Check } from "../mesh/port.ts";
import { version } from "../app/version.ts";
import { openMeshes } from "../app/meshes.ts";
import { createLogger } from "../telemetry/logger.ts";
import { type Column, outputOf, print } from "./output.ts";
import { type CommandPlace, placeOf } from "./place.ts";
import type { DoctorOptions } from "./options.ts";

/** Prints the result of each check; exit status 1 if one has failed. */
export async function doctor(options: DoctorOptions): Promise<void> {
  const output = outputOf(options.output);
  await using place = await placeOf(options);
  const checks = [...(await checksOfStore(place)), ...(await checksOfMeshes(place))];
  const notes = checks.flatMap(({ name, remedy }) => (remedy === undefined ? [] : `${name}: ${remedy}`));
  print(output, { rows: checks, columns, data: checks, notes });
  if (checks.some(({ status }) => status === "failed")) process.exitCode = 1;
}

const columns: readonly Column<Check>[] = [
  { heading: "", cell: ({ status }) => signs[status] },
  { heading: "CHECK", cell: ({ name }) => name },
  { heading: "FOUND", cell: ({ message }) => message },
];

const signs: Readonly<Record<Check["status"], string>> = { ok: "ok", warning: "?", failed: "NO" };

async function checksOfStore(place: CommandPlace): Promise<readonly Check[]> {
  if (place.kind === "directory") return [];
  const { api, namespace, loaded } = place;
  const { installation = "attache", limits, store, emissary = [] } = loaded?.settings ?? {};
  const { namespaces: acting = [], consumers } = store?.kubernetes ?? {};
  const namespaces = acting.length > 0 ? acting : [loaded === undefined ? namespace : undefined];
  const checks = await clusterChecks({
    api,
    namespaces,
    consumersIn: consumers?.clusterWide === false ? namespaces : [undefined],
    touchesMappings: emissary.some(({ touchMappings }) => touchMappings),
    emissaryNamespaces: [...new Set(emissary.map((one) => one.namespace ?? api.namespace))],
    installation,
    clockSkewMs: limits?.clockSkew ?? 60_000,
  });
  // No further check runs when the API server is unreachable.
  if (checks.length === 1) return checks;
  const userAgent = `attache/${version}`;
  return [
    ...checks,
    ...(await emissaryChecks(api, namespaces)),
    ...(await statusChecks(api, namespaces)),
    ...(await ingressChecks({ api, emissaries: emissary, userAgent })),
  ];
}

async function checksOfMeshes(place: CommandPlace): Promise<readonly Check[]> {
  const { loaded } = place;
  if (loaded === undefined) {
    return [
      {
        name: "meshes",
        status: "warning",
        message: "not looked at: only attaché's settings tell them",
        remedy: "Run the doctor where attaché runs: kubectl exec deploy/NAME -- attache doctor",
      },
    ];
  }
  const { clock, logger, env } = { clock: systemClock, logger: createLogger("silent"), env: process.env };
  await using onDemand = new LazyKubeClient({ ...loaded.settings.store.kubernetes, env, clock });
  const api = place.kind === "kubernetes" ? () => Promise.resolve(place.api) : onDemand.api;
  const cluster = new ClusterAccess({ api, clock, logger });
  await using meshes = await openMeshes({ loaded, clock, logger, env, cluster });
  const checked = await Promise.all(
    [...meshes.byName].map(async ([name, mesh]) =>
      (await mesh.check()).map((check) => ({ ...check, name: `${name}: ${check.name}` })),
    ),
  );
  return checked.flat();
}
