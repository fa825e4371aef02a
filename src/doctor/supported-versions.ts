/** The versions that attaché is made for, and can ask for; docs/kubernetes.md has a table of all. */
export const supportedVersions = {
  Kubernetes: { from: "1.30", to: "1.36" },
  Emissary: { from: "4.0", to: "4.1" },
} as const;

/** What is wrong with a version, as a part of a sentence; `undefined` for one within the table. */
export function versionProblem(
  product: keyof typeof supportedVersions,
  version: string,
): { readonly isOld: boolean; readonly message: string } | undefined {
  const { from, to } = supportedVersions[product];
  const found = numberOf(version);
  if (found >= numberOf(from) && found <= numberOf(to)) return undefined;
  const isOld = found < numberOf(from);
  return { isOld, message: `${isOld ? "older" : "newer"} than what attaché is made for, ${from} to ${to}` };
}

/** `v1.36.3+x` as 1036. */
function numberOf(version: string): number {
  const [, major = "0", minor = "0"] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(major) * 1_000 + Number(minor);
}
