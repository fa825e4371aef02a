import { z } from "zod";
import { dnsLabel } from "../api/names.ts";
import { allowRule } from "./allow-rule.ts";
import { levels } from "../telemetry/loggable.ts";
import { durationBetween } from "../text/duration.ts";
import { isLoopback } from "../text/host.ts";
import { emissary } from "./emissary.ts";
import { kubernetes } from "./kubernetes.ts";

/**
 * One configured mesh. Other keys belong to the adapter, whose schema parses them when the adapter is loaded.
 */
const mesh = z.looseObject({
  adapter: z
    .string()
    .min(1)
    .describe("`consul`, `istio`, `spiffe`, or the name of an npm module that exports an adapter."),
  trustDomain: z
    .string()
    .optional()
    .describe("The required trust domain of all certificates of this mesh. Default: any."),
  trust: z
    .strictObject({
      retain: durationBetween("0s", "365d")
        .optional()
        .describe(
          "How long attaché retains a root that the mesh has dropped, e.g. `24h`, at most `365d`. The default depends on the adapter.",
        ),
    })
    .prefault({}),
});

/** The keys of a mesh's entry that the adapter does not get. */
export const coreMeshSettings: ReadonlySet<string> = new Set(Object.keys(mesh.shape));

const directory = z.strictObject({
  path: z
    .string()
    .min(1)
    .default("published")
    .describe("The folder that attaché writes to. No other process may write there."),
  identities: z
    .array(z.string().min(1))
    .min(1)
    .default(["identities"])
    .describe("Files and folders with MeshCertificates, which attaché watches for changes."),
  pem: z
    .boolean()
    .default(false)
    .describe("Whether attaché also writes plain PEM sets, for consumers other than Emissary."),
});

const listen = z
  .string()
  .regex(
    /^(?:[^:\s]+|\[[0-9a-fA-F:]+\]):(?:6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]?\d{1,4})$/,
    'must be HOST:PORT, e.g. "127.0.0.1:9464"',
  )
  .transform((text) => {
    const colon = text.lastIndexOf(":");
    return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
  });

const console_ = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe("Whether attaché serves the console, a page that shows its state. It only reads."),
  listen: listen
    .prefault("127.0.0.1:9466")
    .describe("The address of the console, as HOST:PORT. Without `auth`, an address of this machine alone."),
  auth: z
    .boolean()
    .default(false)
    .describe(
      "Whether each request to the console needs a bearer token whose user may list MeshCertificates, with the store `kubernetes`. " +
        "attaché asks the API server, and needs the right to create TokenReviews and SubjectAccessReviews.",
    ),
});

const shape = z.strictObject({
  installation: dnsLabel
    .default("attache")
    .describe("The name of this installation of attaché, which the published objects carry."),
  meshes: z.record(dnsLabel, mesh).default({}).describe("The meshes, by names of your choice."),
  store: z
    .strictObject({
      kind: z
        .enum(["directory", "kubernetes"], {
          error: ({ input }) =>
            `the store ${JSON.stringify(input)} does not exist; write "directory" or "kubernetes"`,
        })
        .default("directory")
        .describe("The store that attaché reads MeshCertificates from and writes targets to."),
      directory: directory.prefault({}),
      kubernetes: kubernetes.prefault({}),
    })
    .prefault({}),
  emissary: z
    .array(emissary)
    .default([])
    .describe(
      "The Emissary-ingresses whose pods attaché reads to confirm that they have loaded a certificate, with the store `kubernetes`. If empty, `Served` is `Unknown`.",
    ),
  allow: z
    .array(allowRule)
    .optional()
    .describe(
      "Which namespaces may have which identities. attaché refuses what no rule allows. Without rules, the store `kubernetes` " +
        "serves only attaché's own namespace, and the store `directory` serves all MeshCertificates in its files. An empty list allows nothing.",
    ),
  server: z
    .strictObject({
      enabled: z.boolean().default(true).describe("Whether attaché serves health and metrics."),
      listen: listen
        .prefault("127.0.0.1:9464")
        .describe(
          "The address, as HOST:PORT. Port 0 selects a free port. `[::]:PORT` is each address of IPv6 and IPv4, of IPv4 alone on a machine without IPv6.",
        ),
      probes: listen
        .optional()
        .describe(
          "A second address, which serves `/livez` and `/readyz` only. With it, clients that use up the connections of `listen` " +
            "delay no probe. Default: none; the chart uses `[::]:9465`.",
        ),
    })
    .prefault({}),
  console: console_.prefault({}),
  plugins: z
    .strictObject({
      directory: z
        .string()
        .min(1)
        .default(".")
        .describe(
          "The folder in whose `node_modules` plug-ins are installed; no other folder is searched. Default: that of the settings file. In the image: `/plugins`.",
        ),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(levels).default("info").describe("The log level. A change of it alone restarts nothing."),
    })
    .prefault({}),
  limits: z
    .strictObject({
      clockSkew: durationBetween("0s", "1h")
        .prefault("60s")
        .describe("The tolerated difference between the clocks of the mesh and of attaché, at most `1h`."),
      secretBytes: z
        .int()
        .min(1024)
        .max(1024 * 1024)
        .default(1024 * 1024)
        .describe("The maximum size of the data of one Secret, as base64."),
      bundleCertificates: z
        .int()
        .min(1)
        .max(512)
        .default(64)
        .describe(
          "The maximum number of certificates in the trust bundle of a mesh. attaché rejects a credential with a larger bundle.",
        ),
      identitiesPerNamespace: z
        .int()
        .min(1)
        .max(100_000)
        .default(1_000)
        .describe(
          "In a cluster, the maximum number of MeshCertificates of one namespace that attaché serves. Further ones wait until others are removed.",
        ),
      deletionGrace: durationBetween("0s", "1m")
        .prefault("1m")
        .describe(
          "In a cluster, how long attaché keeps a MeshCertificate, and what is published for it, after its deletion began although nothing uses it. " +
            "A use that appears meanwhile stops the deletion. `0s`: not at all; the maximum is `1m`.",
        ),
      rotationWindow: durationBetween("0s", "10m")
        .prefault("5s")
        .describe(
          "In a cluster, the interval between groups of rotations. Rotations that occur together are published as one group, because each group costs " +
            "Emissary one reconfiguration. A single rotation does not wait, and none waits longer than a hundredth of the remaining lifetime. `0s` disables grouping; the maximum is `10m`.",
        ),
    })
    .prefault({}),
});

/** The settings of the process. Paths are relative to the folder of the settings file. */
export const settings = shape
  .refine(({ emissary, store }) => emissary.length === 0 || store.kind === "kubernetes", {
    path: ["emissary"],
    message: "requires the store `kubernetes`: remove it, or set store.kind to kubernetes",
  })
  .refine(({ console: { auth }, store }) => !auth || store.kind === "kubernetes", {
    path: ["console", "auth"],
    message: "requires the store `kubernetes`, whose API server knows the users: set it to false",
  })
  .refine(({ console: { auth, listen } }) => auth || isLoopback(listen.host), {
    path: ["console", "listen"],
    message: "must be an address of this machine alone, e.g. 127.0.0.1:9466, unless console.auth is true",
  });

export type Settings = z.output<typeof settings>;
