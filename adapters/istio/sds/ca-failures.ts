import type { Meaning } from "../../../src/mesh/kit/grpc/errors.ts";
import { lookAtAgent } from "../look-at-agent.ts";

/** @param details of the agent (security/pkg/nodeagent): it wraps what happened to its own call to istiod, in Go's words. */
export function caFailure(details: string): Meaning {
  return failures.find(([sign]) => sign.test(details))?.[1] ?? unknown;
}

const meanwhile = "attaché asks again by itself, and what is published stays.";

const failures: readonly (readonly [sign: RegExp, meaning: Meaning])[] = [
  [
    /code = Unauthenticated/,
    [
      "ATTACHE_MESH_UNAUTHENTICATED",
      "istiod does not accept the agent's token",
      {
        remedy:
          'istiod\'s log says why (search for "Failed to authenticate"). The agent shows the token of the volume istio-token: its audience must be the one that istiod wants (istio-ca), and its ServiceAccount must not have been made anew since; then restart the pod.',
      },
    ],
  ],
  [
    /x509: certificate signed by unknown authority/,
    [
      "ATTACHE_MESH_TLS",
      "the agent does not trust istiod",
      {
        remedy: `istiod has another root than the agent was given (ConfigMap istio-ca-root-cert of the pod's namespace). After a change of the root the kubelet brings the new one within two minutes; else restart the pod. ${meanwhile}`,
      },
    ],
  ],
  [
    /x509: /,
    [
      "ATTACHE_MESH_TLS",
      "the agent does not take istiod's certificate",
      {
        remedy:
          "Check the agent's discoveryAddress: it must be a name that istiod's certificate is for, of the right revision. If it is the time, compare the clocks.",
      },
    ],
  ],
  [
    /code = (?:Unavailable|DeadlineExceeded)/,
    [
      "ATTACHE_MESH_UNAVAILABLE",
      "the agent does not reach istiod",
      {
        remedy: `Check that istiod runs, and that the pod may connect to its port 15012 (NetworkPolicies). ${meanwhile}`,
      },
    ],
  ],
];

const unknown: Meaning = [
  "ATTACHE_MESH_UNAVAILABLE",
  "the agent cannot give the certificate now",
  { remedy: `${lookAtAgent} ${meanwhile}` },
];
