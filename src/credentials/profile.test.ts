import { describe, expect, it } from "vitest";
import { oddCertificates } from "../../test/fixtures/odd-certificates.ts";
import { profileOf } from "./profile.ts";

describe("the profile of a certificate", () => {
  it.each(oddCertificates)("$role with $what: refused by $refusedBy", ({ made, role, refusedBy }) => {
    expect(Object.keys(profileOf(made.der, role))).toEqual(refusedBy);
  });

  it("says what is wrong as the middle of a sentence", () => {
    const [odd] = oddCertificates.filter(({ what }) => what === "a negative serial number");
    expect(odd && profileOf(odd.made.der, odd.role)).toEqual({ go: "a negative serial number" });
  });
});
