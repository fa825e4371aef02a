import type { status } from "@grpc/grpc-js";

/** Why a call is refused, in Consul's own words; grpc-js puts both on the wire. */
export class Refusal extends Error {
  readonly code: status;
  readonly details: string;

  constructor(code: status, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}
