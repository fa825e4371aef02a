import { describe, expect, it } from "vitest";
import { secret, secretDiscoveryService, spiffeCertValidatorConfig } from "./sds.pb.ts";

const { streamSecrets } = secretDiscoveryService;
const discoveryRequest = { encode: streamSecrets.requestSerialize, decode: streamSecrets.requestDeserialize };
const discoveryResponse = {
  encode: streamSecrets.responseSerialize,
  decode: streamSecrets.responseDeserialize,
};

/**
 * Encoded by protobufjs from the complete files of envoyproxy/envoy/api, fields that are unknown to us
 * included.
 */
const envoys = {
  request:
    "CgE3EkwKB2F0dGFjaGUSB3NraXBwZWQaJgokCh5kaXNhYmxlX3NwaWZmZV9jZXJ0X3ZhbGlkYXRpb24SAiABMgdhdHRhY2hlOgdza2lwcGVkGgdkZWZhdWx0IgF0KgFuMgYIAxICbm8=",
  response: "CgE3EgYKAXQSAXYYASIBdCoBbg==",
  certificate: "CgdkZWZhdWx0EicKBxIFY2hhaW4SBRoDa2V5GgkKB3NraXBwZWQyCgoIY3J5cHRvbWI=",
  validator: "ChYKC2V4YW1wbGUub3JnEgcSBXJvb3Rz",
  validation: "CgZST09UQ0EiIwoECgIvZjoJIgdza2lwcGVkYhAKBnNwaWZmZRIGCgF0EgF2",
};

const ours = {
  request: {
    versionInfo: "7",
    node: {
      id: "attache",
      metadata: { fields: { disable_spiffe_cert_validation: { boolValue: true } } },
      userAgentName: "attache",
    },
    resourceNames: ["default"],
    typeUrl: "t",
    responseNonce: "n",
    errorDetail: { code: 3, message: "no" },
  },
  response: {
    versionInfo: "7",
    resources: [{ typeUrl: "t", value: Buffer.from("v") }],
    typeUrl: "t",
    nonce: "n",
  },
  certificate: {
    name: "default",
    tlsCertificate: {
      certificateChain: { inlineBytes: Buffer.from("chain") },
      privateKey: { inlineString: "key" },
      privateKeyProvider: { providerName: "cryptomb" },
    },
    validationContext: null,
  },
  validation: {
    name: "ROOTCA",
    tlsCertificate: null,
    validationContext: {
      trustedCa: { filename: "/f" },
      crl: { environmentVariable: "skipped" },
      customValidatorConfig: { name: "spiffe", typedConfig: { typeUrl: "t", value: Buffer.from("v") } },
    },
  },
  validator: { trustDomains: [{ name: "example.org", trustBundle: { inlineBytes: Buffer.from("roots") } }] },
};

describe("the messages of SDS", () => {
  it("are read as Envoy's own description writes them", () => {
    expect(discoveryRequest.decode(fromEnvoy("request"))).toEqual(ours.request);
    expect(discoveryResponse.decode(fromEnvoy("response"))).toEqual(ours.response);
    expect(secret.decode(fromEnvoy("certificate"))).toEqual(ours.certificate);
    expect(secret.decode(fromEnvoy("validation"))).toEqual(ours.validation);
    expect(spiffeCertValidatorConfig.decode(fromEnvoy("validator"))).toEqual(ours.validator);
  });

  it("are written so that they are read back the same", () => {
    expect(discoveryRequest.decode(discoveryRequest.encode(ours.request))).toEqual(ours.request);
    expect(discoveryResponse.decode(discoveryResponse.encode(ours.response))).toEqual(ours.response);
    expect(secret.decode(secret.encode(ours.certificate))).toEqual(ours.certificate);
    expect(secret.decode(secret.encode(ours.validation))).toEqual(ours.validation);
  });

  it("have empty strings and lists, and null for messages, where nothing is sent", () => {
    expect(discoveryResponse.decode(Buffer.alloc(0))).toEqual({
      versionInfo: "",
      resources: [],
      typeUrl: "",
      nonce: "",
    });
    expect(secret.decode(Buffer.alloc(0))).toEqual({
      name: "",
      tlsCertificate: null,
      validationContext: null,
    });
  });

  it("are refused when the bytes are cut or of another shape", () => {
    expect(() => secret.decode(fromEnvoy("certificate").subarray(0, 20))).toThrow();
    expect(() => discoveryResponse.decode(Buffer.from("<html>not found</html>"))).toThrow();
  });
});

function fromEnvoy(message: keyof typeof envoys): Buffer {
  return Buffer.from(envoys[message], "base64");
}
