import { type AnyDefinition, fromJSON, type MessageTypeDefinition } from "@grpc/proto-loader";
import { z } from "zod";
import { descriptor } from "./sds-descriptor.ts";

const definitions = fromJSON({ nested: descriptor }, { defaults: true, arrays: true, objects: true });

const any = z.object({ typeUrl: z.string(), value: z.instanceof(Buffer) });

/** Exactly one of the four is set, or none. */
const dataSource = z.object({
  filename: z.string().optional(),
  inlineBytes: z.instanceof(Buffer).optional(),
  inlineString: z.string().optional(),
  environmentVariable: z.string().optional(),
});
export type DataSource = z.output<typeof dataSource>;

const status = z.object({ code: z.int(), message: z.string() });

const node = z.object({
  id: z.string(),
  metadata: z.object({ fields: z.record(z.string(), z.object({ boolValue: z.boolean() })) }).nullable(),
  userAgentName: z.string(),
});

export const discoveryRequest = codec(
  "DiscoveryRequest",
  z.object({
    versionInfo: z.string(),
    node: node.nullable(),
    resourceNames: z.array(z.string()),
    typeUrl: z.string(),
    responseNonce: z.string(),
    errorDetail: status.nullable(),
  }),
);
export type DiscoveryRequest = Message<typeof discoveryRequest>;

export const discoveryResponse = codec(
  "DiscoveryResponse",
  z.object({
    versionInfo: z.string(),
    resources: z.array(any),
    typeUrl: z.string(),
    nonce: z.string(),
  }),
);
export type DiscoveryResponse = Message<typeof discoveryResponse>;

export const secret = codec(
  "Secret",
  z.object({
    name: z.string(),
    tlsCertificate: z
      .object({
        certificateChain: dataSource.nullable(),
        privateKey: dataSource.nullable(),
        privateKeyProvider: z.object({ providerName: z.string() }).nullable(),
      })
      .nullable(),
    validationContext: z
      .object({
        trustedCa: dataSource.nullable(),
        customValidatorConfig: z.object({ name: z.string(), typedConfig: any.nullable() }).nullable(),
      })
      .nullable(),
  }),
);
export type Secret = Message<typeof secret>;

/** The `type_url` of SDS requests, responses and of the resources in them. */
export const secretTypeUrl = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

export const streamSecretsPath = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";

/** A message's bytes, both ways. Absent strings and lists are empty, absent messages `null`. */
export interface Codec<T> {
  readonly encode: (message: T) => Buffer;
  /** @throws Error when the bytes are not this message. */
  readonly decode: (bytes: Buffer) => T;
}

type Message<C> = C extends Codec<infer T> ? T : never;

function codec<T extends object>(name: keyof typeof descriptor, schema: z.ZodType<T>): Codec<T> {
  const definition = definitions[name];
  if (!isMessage(definition)) throw new TypeError(`${name} is not described as a message`);
  return { encode: definition.serialize, decode: (bytes) => schema.parse(definition.deserialize(bytes)) };
}

function isMessage(
  definition: AnyDefinition | undefined,
): definition is MessageTypeDefinition<object, object> {
  return definition?.format === "Protocol Buffer 3 DescriptorProto";
}
