import { setImmediate } from "node:timers/promises";
import { definitions, type NameOf } from "./definitions.ts";
import type { IdentityState, IdentityStatus } from "./state.ts";

/**
 * The series of each identity, one family after the other, in a text that is valid in both formats. Comes in
 * pieces, between which the event loop serves others.
 *
 * prom-client would take 60 µs and 10 KB for each identity, in one go, and keep the series between scrapes.
 */
export async function* identitySeries(
  identities: readonly IdentityState[],
  installation: string,
): AsyncGenerator<string> {
  const common = `,installation="${escape(installation)}"`;
  for (const { name, samples } of families) {
    yield `# HELP ${name} ${definitions[name].help}\n# TYPE ${name} gauge\n`;
    for (let from = 0; from < identities.length; from += pieceLength) {
      let lines = "";
      for (const identity of identities.slice(from, from + pieceLength)) {
        if (identity.status === undefined) continue;
        const labels = labelsOf(identity);
        for (const [more, value] of samples(identity.status, identity))
          lines += `${name}{${labels}${more}${common}} ${value}\n`;
      }
      if (lines !== "") yield lines;
      await setImmediate();
    }
  }
}

/** In identities; a piece takes a millisecond. */
const pieceLength = 100;

interface Family {
  readonly name: NameOf<"gauge">;
  /** Labels beside those of the identity, and the value. */
  readonly samples: (
    status: IdentityStatus,
    identity: IdentityState,
  ) => readonly (readonly [labels: string, value: number])[];
}

const families: readonly Family[] = [
  {
    name: "attache_identity_info",
    samples: ({ spiffeId = "" }, { target }) => [
      [
        `,secret="${escape(target.secret)}",context="${escape(target.tlsContext)}",spiffe_id="${escape(spiffeId)}"`,
        1,
      ],
    ],
  },
  time("attache_leaf_not_before_timestamp_seconds", ({ notBefore }) => notBefore),
  time("attache_leaf_not_after_timestamp_seconds", ({ notAfter }) => notAfter),
  time("attache_renewal_timestamp_seconds", ({ renewalTime }) => renewalTime),
  time("attache_root_not_after_timestamp_seconds", (status) => lastRoot(status)?.notAfter),
  time("attache_root_not_before_timestamp_seconds", (status, { rootNotBefore }) =>
    rootNotBefore(lastRoot(status)?.fingerprint ?? "")?.toISOString(),
  ),
  {
    name: "attache_roots",
    samples: ({ roots = [] }) =>
      (["active", "retiring"] as const).map((state) => [
        `,state="${state}"`,
        roots.filter((root) => root.state === state).length,
      ]),
  },
  {
    name: "attache_root_problems",
    samples: ({ rootProblems = [] }) =>
      [...Map.groupBy(rootProblems, ({ reason }) => reason)].map(
        ([reason, all]) => [`,reason="${escape(reason)}"`, all.length] as const,
      ),
  },
  {
    name: "attache_identity_condition",
    samples: ({ conditions }) =>
      conditions.flatMap(({ type, status: current, reason }) =>
        conditionStatuses.map((status) => {
          const isCurrent = status === current;
          const labels = `,type="${escape(type)}",status="${status}",reason="${isCurrent ? escape(reason) : ""}"`;
          return [labels, isCurrent ? 1 : 0] as const;
        }),
      ),
  },
];

const conditionStatuses = ["True", "False", "Unknown"] as const;

/** Of the roots that the mesh lists, the one that ends last. */
function lastRoot({ roots = [] }: IdentityStatus) {
  const active = roots.filter(({ state }) => state === "active");
  return active.toSorted((one, other) => (one.notAfter < other.notAfter ? 1 : -1))[0];
}

function time(
  name: Family["name"],
  of: (status: IdentityStatus, identity: IdentityState) => string | undefined,
): Family {
  return {
    name,
    samples: (status, identity) => {
      const at = of(status, identity);
      return at === undefined ? [] : [["", Date.parse(at) / 1_000]];
    },
  };
}

function labelsOf({ namespace, name, mesh }: IdentityState): string {
  return `namespace="${escape(namespace)}",name="${escape(name)}",mesh="${escape(mesh)}"`;
}

/** https://prometheus.io/docs/instrumenting/exposition_formats/#comments-help-text-and-type-information */
function escape(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}
