/**
 * The part of Envoy's secret discovery service (SDS v3) that is used here: our own description, compatible on
 * the wire with the files of envoyproxy/envoy/api that are named beside each message. What a peer sends
 * beyond it is skipped, as Protocol Buffers demand. It is TypeScript, not a `.proto` file, because `tsc`
 * carries no other file into `dist`.
 */
export const descriptor = {
  // google/protobuf/any.proto
  Any: { fields: { typeUrl: { type: "string", id: 1 }, value: { type: "bytes", id: 2 } } },
  // google/protobuf/struct.proto
  Struct: { fields: { fields: { keyType: "string", type: "Value", id: 1 } } },
  Value: { fields: { boolValue: { type: "bool", id: 4 } } },
  // google/rpc/status.proto
  Status: { fields: { code: { type: "int32", id: 1 }, message: { type: "string", id: 2 } } },
  // envoy/config/core/v3/base.proto
  Node: {
    fields: {
      id: { type: "string", id: 1 },
      metadata: { type: "Struct", id: 3 },
      userAgentName: { type: "string", id: 6 },
    },
  },
  DataSource: {
    oneofs: { specifier: { oneof: ["filename", "inlineBytes", "inlineString", "environmentVariable"] } },
    fields: {
      filename: { type: "string", id: 1 },
      inlineBytes: { type: "bytes", id: 2 },
      inlineString: { type: "string", id: 3 },
      environmentVariable: { type: "string", id: 4 },
    },
  },
  // envoy/config/core/v3/extension.proto
  TypedExtensionConfig: { fields: { name: { type: "string", id: 1 }, typedConfig: { type: "Any", id: 2 } } },
  // envoy/service/discovery/v3/discovery.proto
  DiscoveryRequest: {
    fields: {
      versionInfo: { type: "string", id: 1 },
      node: { type: "Node", id: 2 },
      resourceNames: { rule: "repeated", type: "string", id: 3 },
      typeUrl: { type: "string", id: 4 },
      responseNonce: { type: "string", id: 5 },
      errorDetail: { type: "Status", id: 6 },
    },
  },
  DiscoveryResponse: {
    fields: {
      versionInfo: { type: "string", id: 1 },
      resources: { rule: "repeated", type: "Any", id: 2 },
      typeUrl: { type: "string", id: 4 },
      nonce: { type: "string", id: 5 },
    },
  },
  // envoy/extensions/transport_sockets/tls/v3/secret.proto
  Secret: {
    fields: {
      name: { type: "string", id: 1 },
      tlsCertificate: { type: "TlsCertificate", id: 2 },
      validationContext: { type: "CertificateValidationContext", id: 4 },
    },
  },
  // envoy/extensions/transport_sockets/tls/v3/common.proto
  TlsCertificate: {
    fields: {
      certificateChain: { type: "DataSource", id: 1 },
      privateKey: { type: "DataSource", id: 2 },
      privateKeyProvider: { type: "PrivateKeyProvider", id: 6 },
    },
  },
  PrivateKeyProvider: { fields: { providerName: { type: "string", id: 1 } } },
  CertificateValidationContext: {
    fields: {
      trustedCa: { type: "DataSource", id: 1 },
      customValidatorConfig: { type: "TypedExtensionConfig", id: 12 },
    },
  },
};
