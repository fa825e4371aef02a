/**
 * Rules between fields, for the schema here and for the API server.
 *
 * `cel` is the rule of the CRD (https://kubernetes.io/docs/reference/using-api/cel/), `holds` the same for
 * zod.
 */
interface Rule<T> {
  readonly cel: string;
  readonly message: string;
  readonly holds: (value: T) => boolean;
}

export const sources = ["consul", "istio", "spiffe", "plugin"] as const;
export type SourceKind = (typeof sources)[number];

interface SpecShape extends Partial<Record<SourceKind, unknown>> {
  readonly mesh?: string | undefined;
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
];

interface TlsVersions {
  readonly minTlsVersion?: string | undefined;
  readonly maxTlsVersion?: string | undefined;
}

/** Envoy refuses the other order. */
export const tlsVersionsRule: Rule<TlsVersions> = {
  cel: "!has(self.minTlsVersion) || !has(self.maxTlsVersion) || self.minTlsVersion <= self.maxTlsVersion",
  message: "minTlsVersion must not be above maxTlsVersion",
  holds: ({ minTlsVersion = "", maxTlsVersion }) =>
    maxTlsVersion === undefined || minTlsVersion <= maxTlsVersion,
};

/** The rule of the API server for keys of labels and annotations: NAME or DOMAIN/NAME. */
const metadataKey =
  "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/**
 * Of a domain and a name together; with the other limits an identity with all that is allowed fits
 * `maxIdentityBytes`.
 */
const maxKeyLength = 128;

/** Emissary reads its own annotations as configuration; those of attaché record the owner of an object. */
const reservedDomain = "(^|[.])(attache[.]dev|getambassador[.]io|kubernetes[.]io|k8s[.]io)/";

export const annotationRule: Rule<Readonly<Record<string, string>>> = {
  cel: `self.all(key, key.size() <= ${maxKeyLength} && key.matches('${metadataKey}') && !key.matches('${reservedDomain}'))`,
  message:
    'keys must be NAME or DOMAIN/NAME, e.g. "example.com/team", and must not use a domain of attaché, Emissary or Kubernetes',
  holds(annotations) {
    const isReserved = new RegExp(reservedDomain);
    return Object.keys(annotations).every((key) => isMetadataKey(key) && !isReserved.test(key));
  },
};

export const labelRule: Rule<Readonly<Record<string, string>>> = {
  cel: `self.all(key, key.size() <= ${maxKeyLength} && key.matches('${metadataKey}'))`,
  message: 'is not a label key: write NAME or DOMAIN/NAME, e.g. "example.com/team"',
  holds: (labels) => Object.keys(labels).every(isMetadataKey),
};

export function isMetadataKey(key: string): boolean {
  return key.length <= maxKeyLength && new RegExp(metadataKey).test(key);
}

/** Bound the cost that the API server estimates for the rules. */
export const maxAnnotations = 16;
export const maxLabels = 64;

interface IdentityShape {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly target: {
      readonly secret?: string | undefined;
      readonly caSecret?: string | undefined;
      readonly crlSecret?: string | undefined;
    };
  };
}

interface IdentityRule extends Rule<IdentityShape> {
  /** The field that violates the rule. */
  readonly path: readonly string[];
}

/** Default names of the Secrets: the name of the identity with these suffixes. */
export const suffixes = { secret: "-mesh-cert", caSecret: "-mesh-ca" } as const;

const maxNameLength = 253 - suffixes.secret.length;

function celNameOf(field: keyof typeof suffixes): string {
  const given = `self.spec.target.${field}`;
  return `(has(self.spec.target) && has(${given}) ? ${given} : self.metadata.name + '${suffixes[field]}')`;
}

export const identityRules: readonly IdentityRule[] = [
  {
    path: ["spec", "target"],
    cel: `${celNameOf("secret")} != ${celNameOf("caSecret")}`,
    message: "secret and caSecret must differ: Emissary would trust the leaf's own chain",
    holds: ({ metadata: { name }, spec: { target } }) =>
      (target.secret ?? name + suffixes.secret) !== (target.caSecret ?? name + suffixes.caSecret),
  },
  {
    path: ["spec", "target", "crlSecret"],
    cel: `!has(self.spec.target) || !has(self.spec.target.crlSecret) || !(self.spec.target.crlSecret in [${celNameOf("secret")}, ${celNameOf("caSecret")}])`,
    message: "crlSecret must differ from secret and caSecret",
    holds: ({ metadata: { name }, spec: { target } }) =>
      ![target.secret ?? name + suffixes.secret, target.caSecret ?? name + suffixes.caSecret].includes(
        target.crlSecret ?? "",
      ),
  },
  {
    path: ["metadata", "name"],
    cel: `self.metadata.name.size() <= ${maxNameLength}`,
    message: `the name must have at most ${maxNameLength} characters, so that NAME${suffixes.secret} is a valid name`,
    holds: ({ metadata: { name } }) => name.length <= maxNameLength,
  },
];
