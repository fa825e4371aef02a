import { z } from "zod";

/** RFC 1123 label, as Kubernetes demands of namespaces. */
export const dnsLabel = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, "must be lower-case letters, digits and '-', e.g. \"edge-1\"");

/** RFC 1123 subdomain, as Kubernetes demands of the names of Secrets and of custom objects. */
export const dnsSubdomain = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    "must be lower-case letters, digits, '-' and '.', e.g. \"storefront-mesh-cert\"",
  );
