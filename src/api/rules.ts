/**
 * What holds between fields, in the same words for the schema here and for the API server.
 *
 * `cel` is the rule of the CRD (https://kubernetes.io/docs/reference/using-api/cel/), `holds` the same for zod.
 */
export interface Rule<T> {
  readonly cel: string;
  readonly message: string;
  readonly holds: (value: T) => boolean;
}

export const sources = ["consul", "istio", "spiffe", "plugin"] as const;
export type SourceKind = (typeof sources)[number];

export interface SpecShape extends Partial<Record<SourceKind, unknown>> {
  readonly mesh?: string | undefined;
  readonly target: { readonly secret?: string | undefined; readonly caSecret?: string | undefined };
}

export const specRules: readonly Rule<SpecShape>[] = [
  {
    cel: `[${sources.map((source) => `has(self.${source})`).join(", ")}].filter(x, x).size() == 1`,
    message: `exactly one source is needed: write one of ${sources.join(", ")}`,
    holds: (spec) => sources.filter((source) => spec[source] !== undefined).length === 1,
  },
  {
    cel: "!has(self.plugin) || has(self.mesh)",
    message: "a plug-in's identity needs the name of its mesh: write `mesh: NAME`",
    holds: ({ plugin, mesh }) => plugin === undefined || mesh !== undefined,
  },
  {
    cel: "!has(self.target) || !has(self.target.secret) || !has(self.target.caSecret) || self.target.secret != self.target.caSecret",
    message: "secret and caSecret must differ: Emissary would trust the leaf's own chain",
    holds: ({ target: { secret, caSecret } }) => secret === undefined || secret !== caSecret,
  },
];
