/** Of what is no mesh: adapters know theirs. docs/kubernetes.md has a table of all. */
export const supportedVersions = {
  Kubernetes: { from: "1.30", to: "1.36" },
  Emissary: { from: "4.0", to: "4.1" },
} as const;
