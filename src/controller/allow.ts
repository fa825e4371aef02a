import type { AllowRule } from "../config/allow-rule.ts";
import { globMatches } from "../text/glob.ts";
import { covers, parseSpiffeIdPattern, type SpiffeIdPattern } from "../credentials/spiffe-id.ts";
import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";

/** What a MeshCertificate asks for. */
export interface AccessCheck {
  readonly namespace: string;
  readonly mesh: string;
  /** The SPIFFE IDs that would count as the identity. */
  readonly expected: SpiffeIdPattern;
  readonly tlsContext: string;
}

/**
 * Who may have what: the SPIFFE IDs that may be published for a wish. Asked before anything is sent to a mesh, and the
 * answer is held against what the mesh sends.
 * @throws NotAllowedError if it may not be had.
 */
export type Allow = (wish: AccessCheck) => readonly SpiffeIdPattern[];

/** @param ownNamespace where attaché itself lives; none outside a cluster. */
export function allowOf(rules: readonly AllowRule[] | undefined, ownNamespace: string | undefined): Allow {
  if (rules !== undefined) return allowBy(rules);
  return ownNamespace === undefined ? allowAll : allowOnly(ownNamespace);
}

/** Whoever may write into the store may have what the meshes give to attaché. */
export const allowAll: Allow = () => everything;

const everything = [parseSpiffeIdPattern("spiffe://**")];

/** Without rules: whoever may write into attaché's own namespace could act as attaché, too, and nobody else. */
export function allowOnly(namespace: string): Allow {
  return (wish) => {
    if (wish.namespace === namespace) return allowAll(wish);
    const because = `without rules only MeshCertificates in the namespace "${namespace}" are served`;
    throw notAllowed(wish, because, `Rules take the place of that, so write one for "${namespace}", too.`);
  };
}

/** What the rules say, each for itself: a wish must be granted whole by one of them. */
export function allowBy(rules: readonly AllowRule[]): Allow {
  const parsed = rules.map((rule) => ({ ...rule, spiffeIds: rule.spiffeIds.map(parseSpiffeIdPattern) }));
  return (wish) => {
    const granted = parsed
      .filter(
        ({ namespaces, mesh, tlsContexts }) =>
          namespaces.some((pattern) => globMatches(wish.namespace, pattern)) &&
          globMatches(wish.mesh, mesh) &&
          tlsContexts.some((pattern) => globMatches(wish.tlsContext, pattern)),
      )
      .flatMap(({ spiffeIds }) => spiffeIds.filter((pattern) => covers(pattern, wish.expected)));
    if (granted.length === 0) throw notAllowed(wish, "no rule allows it");
    return granted;
  };
}

function notAllowed(wish: AccessCheck, because: string, more?: string): NotAllowedError {
  const { namespace, mesh, expected, tlsContext } = wish;
  return new NotAllowedError(
    `the namespace "${namespace}" may not have ${expected.toString()} of the mesh "${mesh}" as TLSContext "${tlsContext}": ${because}`,
    {
      remedy: [`To allow it, add to \`allow:\` in attaché's settings: ${ruleFor(wish)}`, more]
        .filter((text) => text !== undefined)
        .join(" "),
    },
  );
}

/** The narrowest rule that grants the wish, as YAML in one line: a condition's message is read in a terminal. */
function ruleFor({ namespace, mesh, expected, tlsContext }: AccessCheck): string {
  // Quoted like JSON: a namespace may well be called "null" or "1e3".
  const list = (text: string) => `[${JSON.stringify(text)}]`;
  return `- { namespaces: ${list(namespace)}, mesh: ${JSON.stringify(mesh)}, spiffeIds: ${list(expected.toString())}, tlsContexts: ${list(tlsContext)} }`;
}

/** Why nothing is asked of a mesh for an identity: nobody has allowed it. */
export class NotAllowedError extends AttacheError {
  constructor(problem: string, options: AttacheErrorOptions) {
    super("ATTACHE_NOT_ALLOWED", problem, options);
  }
}
