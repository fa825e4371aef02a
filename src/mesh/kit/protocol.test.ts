import { describe, expect, it } from "vitest";
import { connectCAService } from "../../../adapters/consul/proto/connectca.pb.ts";
import { protocol } from "./protocol.ts";

const { sign, watchRoots } = connectCAService;

describe("a method of a generated module", () => {
  it("has the path of its service, and says which side streams", () => {
    expect(sign).toMatchObject({
      path: "/hashicorp.consul.connectca.ConnectCAService/Sign",
      requestStream: false,
      responseStream: false,
    });
    expect(watchRoots.responseStream).toBe(true);
  });

  it("puts fields where the description says, which may leave numbers out", () => {
    // Field 2 of wire type 2, then the length (https://protobuf.dev/programming-guides/encoding).
    expect(sign.responseSerialize({ certPem: "abc" })).toEqual(Buffer.from("\x12\x03abc"));
    expect(sign.responseDeserialize(Buffer.from("\x12\x03abc"))).toEqual({ certPem: "abc" });
  });

  it("decodes a message that lacks everything into a complete one", () => {
    expect(watchRoots.responseDeserialize(Buffer.alloc(0))).toEqual({
      activeRootId: "",
      trustDomain: "",
      roots: [],
    });
  });

  it("skips what the description does not know", () => {
    // Field 15, a string, before field 2.
    expect(sign.responseDeserialize(Buffer.from("\x7a\x01?\x12\x03abc"))).toEqual({ certPem: "abc" });
  });

  it("throws for bytes that are no such message", () => {
    expect(() => sign.responseDeserialize(Buffer.from("\x17"))).toThrow("index out of range");
  });
});

describe("the codec of a message that no method carries", () => {
  it("keeps absent messages, members of a oneof and large numbers apart", () => {
    const { codec } = protocol({
      nested: {
        Thing: {
          oneofs: { choice: { oneof: ["text", "raw"] } },
          fields: {
            inner: { type: "Thing", id: 1 },
            text: { type: "string", id: 2 },
            raw: { type: "bytes", id: 3 },
            big: { type: "uint64", id: 4 },
          },
        },
      },
    });
    const { encode, decode } = codec<object>("Thing");
    const thing = { inner: { inner: null, raw: Buffer.from([0]), big: "18446744073709551615" } };
    expect(decode(encode(thing))).toEqual({ ...thing, big: "0" });
  });
});
