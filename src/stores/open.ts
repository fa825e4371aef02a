import type { Clock } from "../clock.ts";
import type { Settings } from "../config/settings.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Store } from "./store.ts";

/** The store that the settings name. @throws StoreError if it is not there, or somebody else has it. */
export async function openStore(
  { store, installation }: Settings,
  ports: { readonly clock: Clock; readonly logger: Logger },
): Promise<Store> {
  switch (store.kind) {
    case "directory": {
      const { openDirectoryStore } = await import("./directory/directory-store.ts");
      return openDirectoryStore({ ...store.directory, ...ports, installation });
    }
    default:
      return store.kind satisfies never;
  }
}
