import type { MethodDefinition } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";

/** A message's bytes, both ways. */
export interface Codec<T> {
  readonly encode: (message: T) => Buffer;
  /** @throws Error when the bytes are not this message. */
  readonly decode: (bytes: Buffer) => T;
}

/**
 * What a `.proto` file describes, for the module that `npm run generate` makes of it beside it. The types
 * there are made of the same description, so nothing else need call this.
 *
 * A decoded message is complete: strings and lists that were not sent are empty, numbers 0, messages `null`,
 * members of a `oneof` absent. What a peer sends beyond the description is skipped, as Protocol Buffers
 * demand.
 */
export interface Protocol {
  /** @param service with its package. */
  readonly method: <Q, A>(service: string, name: string) => MethodDefinition<Q, A>;
  /** @param name with its package. */
  readonly codec: <T>(name: string) => Codec<T>;
}

/** @param description as protobufjs writes it: `Root.toJSON()`. */
export function protocol(description: object): Protocol {
  const definitions: Readonly<Record<string, object>> = fromJSON(description, options);
  return {
    method: <Q, A>(service: string, name: string) => {
      const { [name]: method } = (definitions[service] ?? {}) as Readonly<Record<string, unknown>>;
      return method as MethodDefinition<Q, A>;
    },
    codec: <T>(name: string) => {
      const { serialize, deserialize } = definitions[name] as MessageDefinition<T>;
      return { encode: serialize, decode: deserialize };
    },
  };
}

const options = { longs: String, defaults: true, arrays: true, objects: true };

interface MessageDefinition<T> {
  readonly serialize: (message: T) => Buffer;
  readonly deserialize: (bytes: Buffer) => T;
}
