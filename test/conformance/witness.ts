import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { inspect } from "node:util";
import type { Credential, Logger } from "../../src/mesh/adapter.ts";
import { messages } from "../../src/telemetry/messages.ts";

/** Sees all that an adapter puts out, and all that must not be in it. */
export interface Witness {
  readonly logger: Logger;
  /** Keeps what a person or a machine might come to read. */
  read(output: unknown): void;
  /** Keeps the credential's key, and its printed forms as output. */
  receive(credential: Credential): void;
  /** @throws AssertionError without quoting the secret. */
  assertNoSecretIn(more: readonly string[]): void;
  /** `error` is for bugs in attaché: what a control plane does is a condition, and at most a warning. */
  assertNoErrorLogged(): void;
}

export function createWitness(): Witness {
  const outputs: string[] = [];
  const keys = new Set<KeyObject>();
  const errors: string[] = [];

  function read(output: unknown): void {
    outputs.push(inspect(output, { depth: Infinity, breakLength: Infinity, maxStringLength: Infinity }));
  }

  const logger: Logger = {
    log: (...line) => {
      read(line);
      if (messages[line[0]].level === "error") errors.push(inspect(line));
    },
    child: (bindings) => {
      read(bindings);
      return logger;
    },
  };

  return {
    logger,
    read,
    receive(credential) {
      keys.add(credential.key);
      read(credential);
      read(JSON.stringify(credential));
    },
    assertNoSecretIn(more) {
      const text = squeeze(outputs.join("\n"));
      assert.ok(!text.includes("PRIVATEKEY-----"), "a private key in PEM was put out");
      for (const key of keys) {
        for (const form of secretForms(key)) assert.ok(!text.includes(form), "a private key was put out");
      }
      for (const secret of more)
        assert.ok(!text.includes(squeeze(secret)), "a secret of the peer was put out");
    },
    assertNoErrorLogged() {
      assert.deepEqual(errors, [], "nothing is logged as an error");
    },
  };
}

/** However it was wrapped: without white space, escaped line ends included. */
function squeeze(text: string): string {
  return text.replace(/\\[nr]|\s/g, "");
}

/** What is private in the key, in the encodings that a log would show. */
function secretForms(key: KeyObject): string[] {
  const { d, p, q } = key.export({ format: "jwk" });
  const numbers = [d, p, q].filter((number) => number !== undefined);
  return [
    ...numbers.flatMap((number) => encodings(Buffer.from(number, "base64url"))),
    // The first line of PEM, which holds a part of the private number, or is itself nowhere else.
    ...structures(key).map((der) => der.toString("base64").slice(0, 64)),
  ];
}

function encodings(bytes: Buffer): string[] {
  return [bytes.toString("base64url"), bytes.toString("base64"), bytes.toString("hex")];
}

function structures(key: KeyObject): Buffer[] {
  return [
    key.export({ type: "pkcs8", format: "der" }),
    ...(key.asymmetricKeyType === "ec" ? [key.export({ type: "sec1", format: "der" })] : []),
    ...(key.asymmetricKeyType === "rsa" ? [key.export({ type: "pkcs1", format: "der" })] : []),
  ];
}
