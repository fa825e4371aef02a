import type { MeshCertificate } from "../api/mesh-certificate.ts";
import { leadershipCheck } from "../doctor/leadership.ts";
import type { Check } from "../mesh/port.ts";
import { Layout } from "../store/directory/layout.ts";
import { isFolderLocked } from "../store/directory/root-folder.ts";
import type { IdentityView } from "../store/store.ts";
import type { CommandPlace } from "./place.ts";

/** Whether attaché works, for each installation that serves one of the identities or has published one. */
export async function workingIn(
  place: CommandPlace,
  views: readonly IdentityView[],
): Promise<readonly Check[]> {
  if (place.kind === "directory") return workingOn(place.loaded.settings.store.directory.path);
  const { api, loaded } = place;
  const settings = loaded?.settings;
  const own = settings?.store.kubernetes.leaderElection.enabled === true ? [settings.installation] : [];
  const installations = new Set([...own, ...views.flatMap(installationsOf)]);
  return Promise.all(
    [...installations].map(async (installation) => {
      const served = views.filter((view) => installationsOf(view).includes(installation));
      const homes = served.flatMap((view) => {
        const server = serverOf(view);
        const release = homeOf(view.identity);
        const home = server?.installation === installation ? server.home : undefined;
        return [release, home].filter((one) => one !== undefined);
      });
      const check = await leadershipCheck({
        api,
        installation,
        namespaces: [...new Set([api.namespace, place.namespace ?? api.namespace, ...homes])],
        isInstalled: served.length > 0,
      });
      return { ...check, name: "attaché" };
    }),
  );
}

/** That serve the identity, or have published it. */
function installationsOf(view: IdentityView): string[] {
  return [...view.installations, ...[serverOf(view)?.installation ?? []].flat()];
}

/** Before anything is published, only the status names the installation. */
function serverOf({ status }: IdentityView) {
  const [home, installation] = status?.servedBy?.split("/") ?? [];
  return home === undefined || installation === undefined ? undefined : { home, installation };
}

/** The namespace of the Helm release that the identity is of, which is attaché's own. */
function homeOf({ metadata: { annotations } }: MeshCertificate): string | undefined {
  return annotations?.["meta.helm.sh/release-namespace"];
}

async function workingOn(path: string): Promise<readonly Check[]> {
  const name = "attaché";
  const isLocked = await isFolderLocked(new Layout(path).lock);
  if (isLocked === undefined) return [];
  if (isLocked) return [{ name, status: "ok", message: `works on ${path}` }];
  const message = `does not work: no process has ${path} open. Nothing is renewed.`;
  return [{ name, status: "failed", message, remedy: "Start it: attache run --config FILE." }];
}
