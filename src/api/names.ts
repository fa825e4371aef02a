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

/** As Kubernetes demands of the values of labels. */
export const labelValue = z
  .string()
  .max(63)
  .regex(
    /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/,
    "must be letters, digits, '-', '_' and '.', and begin and end with a letter or digit",
  );
