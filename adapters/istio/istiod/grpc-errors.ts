import { status } from "@grpc/grpc-js";
import type { GrpcPeer, Meaning } from "../../../src/mesh/kit/grpc/errors.ts";

/** What istiod means by a status; of a token it only ever says "request authenticate failure", and the rest to its log. */
export const istiod: GrpcPeer = {
  name: "istiod",
  meanings: new Map<status, Meaning>([
    [
      status.UNAUTHENTICATED,
      [
        "ATTACHE_MESH_UNAUTHENTICATED",
        "istiod does not accept the token of the ServiceAccount",
        {
          remedy:
            'istiod\'s log says why (search for "Failed to authenticate"). Usual reasons: the token is of another cluster than the one that istiod asks about it (`clusterId`), or for another audience than istiod wants (`audience`).',
        },
      ],
    ],
    [
      status.INVALID_ARGUMENT,
      [
        "ATTACHE_MESH_FORBIDDEN",
        "istiod refuses to sign",
        { remedy: "If it is for the TTL, lower `ttl`, or raise istiod's MAX_WORKLOAD_CERT_TTL." },
      ],
    ],
    [
      status.UNIMPLEMENTED,
      [
        "ATTACHE_MESH_MALFORMED",
        "what listens there signs no certificates",
        {
          remedy:
            "istiod signs on its port 15012 unless its CA is off (ENABLE_CA_SERVER=false); then give the address of the CA that is used instead, e.g. cert-manager-istio-csr.",
        },
      ],
    ],
    // Also INTERNAL: the CA is not ready, or has expired.
    [status.UNAVAILABLE, ["ATTACHE_MESH_UNAVAILABLE", "istiod cannot sign now"]],
  ]),
};
