import type { Access } from "../peers/kubernetes/rest.ts";
import { follow, type Followed } from "./follow.ts";
import type { Rotation } from "./rotations.ts";

/** What attaché does so that something is served, and what it says of it. */
export interface Healing extends AsyncDisposable {
  /** When it touched a Mapping or a TLSContext, in milliseconds of `performance.now()`. */
  readonly touches: readonly number[];
  /** All that the conditions `Served` have been: `True/Served`. */
  readonly conditions: ReadonlySet<string>;
  /** All that their messages have said, without names and dates. */
  readonly advice: ReadonlySet<string>;
}

export async function followHealing(access: Access, namespace: string): Promise<Healing> {
  const touches: number[] = [];
  const conditions = new Set<string>();
  const advice = new Set<string>();
  const emissary = `/apis/getambassador.io/v3alpha1/namespaces/${namespace}`;
  const paths = [
    ...["mappings", "tlscontexts"].map((plural) => `${emissary}/${plural}`),
    `/apis/attache.dev/v1alpha1/namespaces/${namespace}/meshcertificates`,
  ];
  const following = await follow(access, paths, ({ plural, before, after }) => {
    if (plural !== "meshcertificates") {
      const nudge = nudgeOf(after);
      if (nudge !== undefined && nudge !== nudgeOf(before)) touches.push(performance.now());
      return;
    }
    const { conditions: all = [] } = (after?.["status"] ?? {}) as { conditions?: readonly Condition[] };
    for (const { type, status, reason, message } of all) {
      if (type !== "Served") continue;
      conditions.add(`${status}/${reason}`);
      for (const [said] of message.matchAll(/Mappings change so often|touchMappings: true/g))
        advice.add(said);
    }
  });
  return { touches, conditions, advice, [Symbol.asyncDispose]: () => following[Symbol.asyncDispose]() };
}

/** A page that was read just before something was served may still lead to a touch. */
const graceMs = 1_000;

/** Those of `touches` in a time in which nothing was to be served. */
export function needless(touches: readonly number[], rotations: readonly Rotation[]): number[] {
  return touches.filter((at) =>
    rotations.every(
      ({ publishedAt, servedAt, overtakenAt }) =>
        at < publishedAt || at > (servedAt ?? overtakenAt ?? Infinity) + graceMs,
    ),
  );
}

function nudgeOf(object: Followed | undefined): string | undefined {
  const annotations = object?.metadata["annotations"] as Readonly<Record<string, string>> | undefined;
  return annotations?.["attache.dev/nudge"];
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}
