import { status } from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import type { LoginRequest } from "../proto/acl.pb.ts";

/** What a token may: sign for any service, for some, or only know of the roots. */
type Rights = "all" | readonly string[];

/** Whom an auth method makes of what it is shown; `undefined` if it does not accept that. */
type AuthMethod = (bearerToken: string) => { readonly services: readonly string[] } | undefined;

/** Consul's ACLs, as far as signing and logins go. */
export class Acl {
  /** By SecretID; `undefined` while ACLs are off. */
  #tokens: Map<string, Rights> | undefined;
  readonly #logins = new Set<string>();
  readonly methods = new Map<string, AuthMethod>();

  /**
   * Accepts these tokens from now on, and no others, not even those of logins; `undefined` turns ACLs off.
   */
  set tokens(tokens: Readonly<Record<string, Rights>> | undefined) {
    this.#tokens = tokens && new Map(Object.entries(tokens));
    this.#logins.clear();
  }

  /** Tokens of logins that were not given back. */
  get logins(): readonly string[] {
    return [...this.#logins];
  }

  /** @throws Refusal */
  assertKnown(token: string | undefined): void {
    if (this.#tokens === undefined) return;
    if (token === undefined) {
      throw new Refusal(
        status.UNAUTHENTICATED,
        "An ACL token must be provided (via the `x-consul-token` metadata field) to call this endpoint",
      );
    }
    if (!this.#tokens.has(token)) throw new Refusal(status.UNAUTHENTICATED, "ACL not found");
  }

  /** @throws Refusal */
  assertMaySign(token: string | undefined, service: string): void {
    if (this.#tokens === undefined) return;
    const rights = token === undefined ? [] : this.#tokens.get(token);
    if (rights === undefined) throw new Refusal(status.UNAUTHENTICATED, "ACL not found");
    if (rights === "all" || rights.includes(service)) return;
    const who = token === undefined ? "anonymous token" : "token with AccessorID '1f3e8a52'";
    throw new Refusal(
      status.PERMISSION_DENIED,
      `Permission denied: ${who} lacks permission 'service:write' on "${service}"`,
    );
  }

  /** The SecretID of a new token. @throws Refusal */
  logIn({ authMethod, bearerToken }: LoginRequest): string {
    if (this.#tokens === undefined) {
      throw new Refusal(status.FAILED_PRECONDITION, "ACL support disabled");
    }
    const method = this.methods.get(authMethod);
    if (method === undefined) {
      throw new Refusal(status.INVALID_ARGUMENT, `auth method "${authMethod}" not found`);
    }
    const made = method(bearerToken);
    if (made === undefined) {
      throw new Refusal(
        status.UNAUTHENTICATED,
        "error validating claims: aud claim does not match any bound audience",
      );
    }
    if (made.services.length === 0) throw new Refusal(status.PERMISSION_DENIED, "Permission denied");
    const secretId = randomUUID();
    this.#tokens.set(secretId, made.services);
    this.#logins.add(secretId);
    return secretId;
  }

  /** @throws Refusal */
  logOut(token: string): void {
    if (this.#tokens?.has(token) === true && !this.#logins.has(token)) {
      throw new Refusal(status.PERMISSION_DENIED, "Permission denied: token wasn't created via login");
    }
    this.#tokens?.delete(token);
    this.#logins.delete(token);
  }
}

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
