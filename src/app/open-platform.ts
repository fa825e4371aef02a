import { platformOf, type Platform, type PlatformOptions } from "./platform.ts";

/** @throws AttacheError if the folder is somebody else's, or nothing says how the cluster is reached. */
export async function openPlatform(options: PlatformOptions): Promise<Platform> {
  if (options.loaded.settings.store.kind === "directory") return openFolder(options);
  // 10 MB of code that a folder does without.
  return (await import("./cluster-platform.ts")).openCluster(options);
}

async function openFolder(options: PlatformOptions): Promise<Platform> {
  // Has a native lock, which commands that only print need not load.
  const { openDirectoryStore } = await import("../store/directory/directory-store.ts");
  const { loaded, clock, logger } = options;
  const { installation, store } = loaded.settings;
  return platformOf(await openDirectoryStore({ ...store.directory, installation, clock, logger }), options);
}
