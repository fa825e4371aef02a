import { createRequire } from "node:module";

/** By its own name, which resolves from the sources and from the build alike. */
const { version: packageVersion } = createRequire(import.meta.url)("attache/package.json") as {
  readonly version: string;
};

export const version = packageVersion;
