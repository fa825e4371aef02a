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
 * The SPIFFE IDs that may be published for a request. Called before anything is sent to a mesh; the
 * credential from the mesh must match the answer.
 * @throws NotAllowedError if it may not be had.
 */
export type Allow = (request: AccessCheck) => readonly SpiffeIdPattern[];

/** @param ownNamespace where attaché itself lives; none outside a cluster. */
export function allowOf(rules: readonly AllowRule[] | undefined, ownNamespace: string | undefined): Allow {
  if (rules !== undefined) return allowBy(rules);
  return ownNamespace === undefined ? allowAll : allowOnly(ownNamespace);
}

/** Every writer of the store may have what the meshes give to attaché. */
export const allowAll: Allow = () => everything;

const everything = [parseSpiffeIdPattern("spiffe://**")];

/** Without rules: only a writer of attaché's own namespace, who could act as attaché anyway, is served. */
export function allowOnly(namespace: string): Allow {
  return (request) => {
    if (request.namespace === namespace) return allowAll(request);
    const because = `without rules only MeshCertificates in the namespace "${namespace}" are served`;
    throw notAllowed(request, because, `Rules take the place of that, so write one for "${namespace}", too.`);
  };
}

/** By rules: one of them must grant the whole request. */
export function allowBy(rules: readonly AllowRule[]): Allow {
  const parsed = rules.map((rule) => ({ ...rule, spiffeIds: rule.spiffeIds.map(parseSpiffeIdPattern) }));
  return (request) => {
    const granted = parsed
      .filter(
        ({ namespaces, mesh, tlsContexts }) =>
          namespaces.some((pattern) => globMatches(request.namespace, pattern)) &&
          globMatches(request.mesh, mesh) &&
          tlsContexts.some((pattern) => globMatches(request.tlsContext, pattern)),
      )
      .flatMap(({ spiffeIds }) => spiffeIds.filter((pattern) => covers(pattern, request.expected)));
    if (granted.length === 0) throw notAllowed(request, "no rule allows it");
    return granted;
  };
}

function notAllowed(request: AccessCheck, because: string, more?: string): NotAllowedError {
  const { namespace, mesh, expected, tlsContext } = request;
  return new NotAllowedError(
    `the namespace "${namespace}" may not have ${expected.toString()} of the mesh "${mesh}" as TLSContext "${tlsContext}": ${because}`,
    {
      remedy: [`To allow it, add to \`allow:\` in attaché's settings: ${ruleFor(request)}`, more]
        .filter((text) => text !== undefined)
        .join(" "),
    },
    expected,
  );
}

/**
 * The narrowest rule that grants the request, as YAML in one line: a condition's message is read in a
 * terminal.
 */
function ruleFor({ namespace, mesh, expected, tlsContext }: AccessCheck): string {
  // Quoted like JSON: a namespace may well be called "null" or "1e3".
  const list = (text: string) => `[${JSON.stringify(text)}]`;
  return `- { namespaces: ${list(namespace)}, mesh: ${JSON.stringify(mesh)}, spiffeIds: ${list(expected.toString())}, tlsContexts: ${list(tlsContext)} }`;
}

/** Nothing is requested from a mesh for an identity, as no rule allows it. */
export class NotAllowedError extends AttacheError {
  /** The SPIFFE IDs that were asked for. */
  readonly expected: SpiffeIdPattern;

  constructor(problem: string, options: AttacheErrorOptions, expected: SpiffeIdPattern) {
    super("ATTACHE_NOT_ALLOWED", problem, options);
    this.expected = expected;
  }
}
