/** The part of the package that is used: the whole costs 2 MB of memory more, and its types know only the whole. */
declare module "node-forge/lib/asn1.js" {
  import { asn1 } from "node-forge";
  export = asn1;
}
