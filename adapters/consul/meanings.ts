import type { Meaning } from "../../src/mesh/kit/errors.ts";

// What an answer of Consul's that is no success comes to for an operator, whatever it came over.

export const unknownToken: Meaning = {
  code: "ATTACHE_MESH_UNAUTHENTICATED",
  problem: "Consul does not know the ACL token",
  remedy:
    "Check `token`, `tokenFile` or CONSUL_HTTP_TOKEN(_FILE): the token was deleted, has expired, or belongs to another Consul. A new one may take half a minute to be known everywhere.",
};

export const noToken: Meaning = {
  code: "ATTACHE_MESH_UNAUTHENTICATED",
  problem: "Consul asks for an ACL token, and attaché has none",
  remedy: "Set `tokenFile`, or `login` where the servers have an auth method.",
};

export const notAllowed: Meaning = {
  code: "ATTACHE_MESH_FORBIDDEN",
  problem: "the ACL token may not do this",
  remedy:
    'Give attaché\'s token a policy with service "NAME" { policy = "write" } for each service that it obtains, or set a token if there is none.',
};

export const noLeader: Meaning = {
  code: "ATTACHE_MESH_UNAVAILABLE",
  problem: "Consul has no leader",
  remedy: "Look at the servers: consul operator raft list-peers. attaché retries by itself.",
};

export const caNotReady: Meaning = {
  code: "ATTACHE_MESH_UNAVAILABLE",
  problem: "Consul's CA is not ready",
  remedy:
    "Check that Connect is enabled on the servers (connect { enabled = true }) and its CA: consul connect ca get-config. attaché retries by itself.",
};

export const noRoots: Meaning = {
  code: "ATTACHE_MESH_UNAVAILABLE",
  problem: "Consul's CA lists no root",
  remedy: "Check that Connect is enabled on the servers and its CA is ready: consul connect ca get-config.",
};

export const noPath: Meaning = {
  code: "ATTACHE_MESH_UNAVAILABLE",
  problem: "Consul knows no way to the datacenter",
  remedy: "Correct `datacenter`, or look at the WAN federation: consul members -wan.",
};

export const enterpriseOnly: Meaning = {
  code: "ATTACHE_MESH_IDENTITY_REFUSED",
  retryable: false,
  problem: "this Consul is the community edition, which has no namespaces and no admin partitions",
  remedy:
    "Leave `namespace` and `partition` out of the MeshCertificate and of the mesh's settings, and unset CONSUL_NAMESPACE and CONSUL_PARTITION.",
};

export const aclsOff: Meaning = {
  code: "ATTACHE_MESH_UNAUTHENTICATED",
  problem: "this Consul accepts no logins, because its ACLs are off",
  remedy: "Leave `login` out, or turn ACLs on: acl { enabled = true }.",
};

export const noSuchMethod: Meaning = {
  code: "ATTACHE_MESH_UNAUTHENTICATED",
  problem: "Consul has no auth method of this name",
  remedy: "Correct `authMethod`; consul acl auth-method list shows what there is.",
};

export const notBound: Meaning = {
  code: "ATTACHE_MESH_FORBIDDEN",
  problem: "no binding rule of the auth method gives this login anything",
  remedy:
    "Add one that fits the ServiceAccount: consul acl binding-rule list. For an identity it must have BindType=service and make its service.",
};

export const badBinding: Meaning = {
  code: "ATTACHE_MESH_FORBIDDEN",
  problem: "Consul cannot make a token of this login",
  remedy:
    "Compare the binding rule with the ServiceAccount: a service's name has only lower case letters, digits, hyphens and underscores, so that a ServiceAccount with a dot needs another BindName.",
};

export const badBearer: Meaning = {
  code: "ATTACHE_MESH_UNAUTHENTICATED",
  problem: "Consul's auth method does not accept the ServiceAccount's token",
  remedy:
    "Compare the token's audience and issuer with `BoundAudiences` and `BoundIssuer` of the auth method, its keys with those of the cluster, and the clocks; a method of type kubernetes must reach the API server and may create tokenreviews.",
};
