import { z } from "zod";
import { dnsLabel } from "../api/names.ts";
import { allowRule } from "./allow-rule.ts";
import { levels } from "../telemetry/loggable.ts";
import { duration } from "../text/duration.ts";
import { emissary } from "./emissary.ts";
import { kubernetes } from "./kubernetes.ts";

/** One configured mesh; what else stands there is the adapter's, and parsed by its schema when it is loaded. */
const mesh = z.looseObject({
  adapter: z
    .string()
    .min(1)
    .describe("`consul`, `istio`, `spiffe`, or the name of an npm module that exports an adapter."),
  trustDomain: z
    .string()
    .optional()
    .describe("The trust domain that every credential of this mesh must be of; by default any."),
  trust: z
    .strictObject({
      retain: duration
        .optional()
        .describe(
          "How long a root that the mesh has dropped stays trusted, e.g. `24h`; by default what the adapter says.",
        ),
    })
    .prefault({}),
});

/** What an adapter does not see of its mesh's entry. */
export const coreMeshSettings: ReadonlySet<string> = new Set(Object.keys(mesh.shape));

const directory = z.strictObject({
  path: z.string().min(1).default("published").describe("The folder that is written to; nobody else may."),
  identities: z
    .array(z.string().min(1))
    .min(1)
    .default(["identities"])
    .describe("Files and folders of MeshCertificates, watched for changes."),
  pem: z
    .boolean()
    .default(false)
    .describe("Whether plain PEM sets are written too, for consumers other than Emissary."),
});

const listen = z
  .string()
  .regex(/^(?:[^:\s]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/, 'must be HOST:PORT, e.g. "127.0.0.1:9464"')
  .transform((text) => {
    const colon = text.lastIndexOf(":");
    return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
  });

const shape = z.strictObject({
  installation: dnsLabel
    .default("attache")
    .describe("Tells several attachés apart; part of the mark on what is published."),
  meshes: z.record(dnsLabel, mesh).default({}).describe("The control planes, by a name of your choice."),
  store: z
    .strictObject({
      kind: z
        .enum(["directory", "kubernetes"], {
          error: ({ input }) =>
            `the store ${JSON.stringify(input)} does not exist; write "directory" or "kubernetes"`,
        })
        .default("directory")
        .describe("Where MeshCertificates are read and targets are written."),
      directory: directory.prefault({}),
      kubernetes: kubernetes.prefault({}),
    })
    .prefault({}),
  emissary: z
    .array(emissary)
    .default([])
    .describe(
      "The Emissary-ingresses that are asked whether they have loaded what is published, with the store `kubernetes`; without one nobody confirms it.",
    ),
  allow: z
    .array(allowRule)
    .optional()
    .describe(
      "Which namespaces may have which identities: what no rule allows is refused. Without rules the store `kubernetes` " +
        "serves attaché's own namespace only, and the store `directory` whoever may write its files. An empty list allows nothing.",
    ),
  server: z
    .strictObject({
      enabled: z.boolean().default(true).describe("Whether health and metrics are served."),
      listen: listen.prefault("127.0.0.1:9464").describe("Where; port 0 takes any free one."),
    })
    .prefault({}),
  log: z.strictObject({ level: z.enum(levels).default("info").describe("How much to log.") }).prefault({}),
  limits: z
    .strictObject({
      clockSkew: duration
        .prefault("60s")
        .describe("How far the clocks of the mesh and of this machine may disagree."),
      secretBytes: z
        .int()
        .min(1024)
        .max(1024 * 1024)
        .default(1024 * 1024)
        .describe("The most that the data of one Secret may take, as base64."),
      rotationWindow: duration
        .prefault("5s")
        .describe(
          "In a cluster: how far apart rotations that come together are published, each group at once, as every one costs " +
            "Emissary a reconfigure. One that comes alone never waits, and none for more than a hundredth of the life that is left. `0s` groups nothing.",
        ),
    })
    .prefault({}),
});

/** The process's own settings. Paths in it are relative to the folder of the settings file. */
export const settings = shape.refine(
  ({ emissary, store }) => emissary.length === 0 || store.kind === "kubernetes",
  {
    path: ["emissary"],
    message: "is for the store `kubernetes`, in which pods are found: leave it out with a directory",
  },
);

export type Settings = z.output<typeof settings>;
export type MeshSettings = z.output<typeof mesh>;
