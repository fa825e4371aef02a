/** The two parts of the package that are used: the whole costs 2 MB of memory more, and its types know only the whole. */
declare module "node-forge/lib/asn1.js" {
  import { asn1 } from "node-forge";
  export = asn1;
}
declare module "node-forge/lib/pem.js" {
  import { pem } from "node-forge";
  export = pem;
}
