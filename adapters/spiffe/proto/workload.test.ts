import { describe, expect, it } from "vitest";
import { spiffeWorkloadAPI } from "./workload.pb.ts";

const { path, requestSerialize, responseDeserialize, responseSerialize } = spiffeWorkloadAPI.fetchX509SVID;

/** As the whole description at spiffe/spiffe has it, with a field that is unknown to us. */
const whole = Buffer.concat([
  field(1, field(1, "spiffe://a/b"), field(2, "svid"), field(3, "key"), field(4, "bundle"), field(5, "hint")),
  field(2, "list"),
  field(9, "unknown"),
  field(3, field(1, "spiffe://c"), field(2, "federated")),
]);

const ours = {
  svids: [
    {
      spiffeId: "spiffe://a/b",
      x509Svid: Buffer.from("svid"),
      x509SvidKey: Buffer.from("key"),
      bundle: Buffer.from("bundle"),
      hint: "hint",
    },
  ],
  crl: [Buffer.from("list")],
  federatedBundles: { "spiffe://c": Buffer.from("federated") },
};

describe("the messages of the Workload API", () => {
  it("are read as the standard writes them, and what is unknown is skipped", () => {
    expect(responseDeserialize(whole)).toEqual(ours);
  });

  it("are written so that they are read back the same", () => {
    expect(responseDeserialize(responseSerialize(ours))).toEqual(ours);
    expect(requestSerialize({})).toHaveLength(0);
  });

  it("are refused when the bytes are cut or of another shape", () => {
    expect(() => responseDeserialize(whole.subarray(0, 20))).toThrow();
    expect(() => responseDeserialize(Buffer.from("<html>not found</html>"))).toThrow();
  });

  it("are asked for by the standard's name, which has no package", () => {
    expect(path).toBe("/SpiffeWorkloadAPI/FetchX509SVID");
  });
});

/** A field of bytes, shorter than 128, as Protocol Buffers write it. */
function field(number: number, ...content: (Buffer | string)[]): Buffer {
  const bytes = Buffer.concat(content.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}
