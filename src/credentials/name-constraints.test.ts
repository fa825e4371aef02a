import { describe, expect, it } from "vitest";
import { explicit, oid, sequence, set, tlv } from "../../test/fixtures/der.ts";
import { constrainedNames, firstForbidden, type GeneralName, nameForms } from "./name-constraints.ts";

const text = (form: number) => (value: string) => ({ form, value: Buffer.from(value, "latin1") });
const dns = text(nameForms.dns);
const email = text(nameForms.email);
const uri = text(nameForms.uri);
const ip = (...bytes: readonly number[]) => ({ form: nameForms.ip, value: Buffer.from(bytes) });
const name = (...attributes: readonly (readonly [string, string])[]) =>
  sequence(...attributes.map(([id, value]) => set(sequence(oid(id), tlv(0x0c, value)))));
const directory = (...attributes: readonly (readonly [string, string])[]) => ({
  form: nameForms.directory,
  value: name(...attributes),
});
const country = "2.5.4.6";
const organization = "2.5.4.10";
const mail = "1.2.840.113549.1.9.1";

describe("a name constraint", () => {
  it.each<[string, GeneralName, GeneralName, boolean]>([
    ["a DNS domain covers itself", dns("example.org"), dns("Example.ORG"), true],
    ["a DNS domain covers what is below", dns("example.org"), dns("web.example.org"), true],
    [
      "a DNS domain does not cover another that ends like it",
      dns("example.org"),
      dns("badexample.org"),
      false,
    ],
    ["an empty DNS domain covers all", dns(""), dns("example.org"), true],
    ["a mailbox covers itself", email("ops@example.org"), email("OPS@example.org"), true],
    ["a mailbox covers no other", email("ops@example.org"), email("dev@example.org"), false],
    ["a mail host covers its mailboxes", email("example.org"), email("ops@example.org"), true],
    ["a mail host covers none of a host below", email("example.org"), email("ops@mail.example.org"), false],
    ["a mail domain covers the hosts below", email(".example.org"), email("ops@mail.example.org"), true],
    ["a URI host covers itself", uri("example.org"), uri("spiffe://example.org/web"), true],
    ["a URI host covers none below", uri("example.org"), uri("spiffe://a.example.org/web"), false],
    ["a URI domain covers hosts below", uri(".example.org"), uri("spiffe://a.example.org/web"), true],
    ["a URI without a host is below nothing", uri("example.org"), uri("urn:example"), false],
    ["an IP range covers its addresses", ip(10, 0, 0, 0, 255, 0, 0, 0), ip(10, 1, 2, 3), true],
    ["an IP range covers no others", ip(10, 0, 0, 0, 255, 0, 0, 0), ip(11, 1, 2, 3), false],
    ["an IPv4 range covers no IPv6 address", ip(10, 0, 0, 0, 255, 0, 0, 0), ip(...Buffer.alloc(16)), false],
    [
      "a directory covers names that begin with it",
      directory([country, "DE"]),
      directory([country, "de"], [organization, "Acme  Ltd"]),
      true,
    ],
    ["a directory covers no other order", directory([country, "DE"]), directory([organization, "DE"]), false],
    [
      "a directory covers no shorter name",
      directory([country, "DE"], [organization, "a"]),
      directory([country, "DE"]),
      false,
    ],
  ])("%s", (_what, base, below, isCovered) => {
    const permitted = { permitted: [base], excluded: [] };
    const excluded = { permitted: [], excluded: [base] };
    expect(firstForbidden([below], permitted) === undefined).toBe(isCovered);
    expect(firstForbidden([below], excluded) === undefined).toBe(!isCovered);
  });

  it("leaves the forms free that it does not name", () => {
    const constraints = { permitted: [dns("example.org")], excluded: [] };
    expect(firstForbidden([uri("spiffe://other.test/web")], constraints)).toBeUndefined();
  });

  it("forbids names of a form that verifiers do not know, once it is constrained", () => {
    const other = { form: 0xa0, value: explicit(0, oid("1.2.3")) };
    expect(firstForbidden([other], { permitted: [other], excluded: [] })).toBe(other);
    expect(firstForbidden([other], { permitted: [], excluded: [other] })).toBe(other);
    expect(firstForbidden([other], { permitted: [], excluded: [] })).toBeUndefined();
  });

  it("applies to the subject and to the e-mail addresses in it", () => {
    const subject = name([country, "DE"], [mail, "ops@example.org"]);
    const names = constrainedNames([dns("web")], subject);
    expect(names.map(({ form }) => form)).toEqual([nameForms.dns, nameForms.directory, nameForms.email]);
    const constraints = { permitted: [email("other.test")], excluded: [] };
    expect(firstForbidden(names, constraints)?.form).toBe(nameForms.email);
  });

  it("does not apply to an empty subject", () => {
    expect(constrainedNames([], sequence())).toEqual([]);
  });
});
