import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import { type DiscoveryRequest, type DiscoveryResponse, type Secret, secret } from "../proto/sds.pb.ts";
import { partNames, secretTypeUrl } from "../sds/secret.ts";

/** For tests of clients: what is sent instead of `answer`; `undefined` for nothing. */
export type SdsTamper = (answer: DiscoveryResponse, name: string) => DiscoveryResponse | Buffer | undefined;

/** How a stream ends. */
export interface StreamFailure {
  readonly code: status;
  readonly details: string;
}

/** What a client could not use (NACK). */
export interface SdsRefusal {
  readonly name: string;
  readonly message: string;
}

export interface Versioned {
  readonly secret: Secret;
  readonly version: string;
}

/** What all streams of a server share. */
export interface Context {
  readonly secrets: ReadonlyMap<string, Versioned>;
  readonly refusals: SdsRefusal[];
  readonly tamper: SdsTamper;
  failure: StreamFailure | undefined;
}

export type SdsCall = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse | Buffer>;

/** One client's stream: what it follows, and what it was sent last. */
export class SdsStream {
  readonly #call: SdsCall;
  readonly #context: Context;
  #isIntroduced = false;
  #names: readonly string[] = [];
  #nonce = "";

  constructor(call: SdsCall, context: Context) {
    this.#call = call;
    this.#context = context;
    call.on("data", (request: DiscoveryRequest) => this.#take(request));
    call.on("end", () => call.end());
  }

  changed(name: string): void {
    if (this.#names.includes(name)) this.#push(name);
  }

  end(error?: StreamFailure): void {
    if (error === undefined) this.#call.end();
    else this.#call.emit("error", error);
  }

  #take({ node, resourceNames, responseNonce, errorDetail }: DiscoveryRequest): void {
    this.#isIntroduced ||= node !== null && node.id !== "";
    if (!this.#isIntroduced) {
      this.end({ code: status.INVALID_ARGUMENT, details: "missing node information" });
      return;
    }
    if (responseNonce !== this.#nonce) return;
    if (errorDetail !== null) {
      this.#context.refusals.push({ name: resourceNames.join(), message: errorDetail.message });
      return;
    }
    const added = resourceNames.filter((name) => !this.#names.includes(name));
    this.#names = resourceNames;
    for (const name of added) this.#push(name);
  }

  #push(name: string): void {
    if (this.#context.failure !== undefined) {
      this.end(this.#context.failure);
      return;
    }
    const { secrets } = this.#context;
    const isKnown = partNames.some((known) => known === name);
    const found = secrets.get(isKnown ? name : "default");
    if (found === undefined) return;
    this.#nonce = randomUUID();
    const value = secret.encode({ ...found.secret, name });
    const answer: DiscoveryResponse = {
      versionInfo: found.version,
      resources: [{ typeUrl: secretTypeUrl, value }],
      typeUrl: secretTypeUrl,
      nonce: this.#nonce,
    };
    const sent = this.#context.tamper(answer, name);
    if (sent !== undefined) this.#call.write(sent);
  }
}
