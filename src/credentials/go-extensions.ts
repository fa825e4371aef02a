import { isIP } from "node:net";
import {
  type ExtensionField,
  bits,
  boolean,
  checkInt64,
  checkOid,
  ids,
  isAscii,
  isMinimalOid,
  isNegative,
  isTrue,
  refuse,
} from "./certificate-fields.ts";
import { context, DerReader, tags, type Element } from "./der.ts";

/** What Go reads of each extension that it knows (RFC 5280, section 4.2). */
export const extensionChecks: ReadonlyMap<string, (extension: ExtensionField) => void> = new Map([
  [
    ids.keyUsage,
    ({ value }: ExtensionField) => void bits(new DerReader(value).read(tags.bitString), "the key usage"),
  ],
  [ids.basicConstraints, ({ value }) => checkBasicConstraints(value)],
  [ids.subjectAltName, ({ value }) => checkAltNames(value)],
  [ids.nameConstraints, ({ value }) => checkNameConstraints(value)],
  [ids.crlDistributionPoints, ({ value }) => checkDistributionPoints(value)],
  [ids.authorityKeyId, (extension) => checkAuthorityKeyId(extension)],
  [ids.subjectKeyId, (extension) => checkSubjectKeyId(extension)],
  [ids.policyConstraints, ({ value }) => checkPolicyConstraints(value)],
  [ids.extendedKeyUsage, ({ value }) => each(value, (list) => checkOid(list.read(tags.oid)))],
  [ids.certificatePolicies, ({ value }) => checkPolicies(value)],
  [
    ids.policyMappings,
    ({ value }) =>
      each(value, (list) => {
        const mapping = list.inside();
        mapping.read(tags.oid);
        mapping.read(tags.oid);
      }),
  ],
  [ids.inhibitAnyPolicy, ({ value }) => checkInt64(new DerReader(value).read(tags.integer))],
  [ids.authorityInfoAccess, (extension) => checkInfoAccess(extension)],
]);

function checkBasicConstraints(value: Buffer): void {
  const constraints = new DerReader(value).inside();
  const isCa = constraints.optional(tags.boolean);
  if (isCa !== undefined) boolean(isCa);
  const length = constraints.optional(tags.integer);
  if (length === undefined) return;
  checkInt64(length);
  if (isNegative(length)) refuse("a negative path length");
}

function checkAltNames(value: Buffer): void {
  each(value, (list) => {
    const { tag, body } = list.next();
    switch (tag) {
      case context.primitive(1):
      case context.primitive(2):
        if (!isAscii(body)) refuse("an alternative name that is not ASCII");
        return;
      case context.primitive(6):
        if (!isAscii(body) || !isPlainUri(body.toString("latin1")))
          refuse("a URI name that Go does not read");
        return;
      case context.primitive(7):
        if (body.length !== 4 && body.length !== 16) refuse(`an IP address of ${body.length} bytes`);
    }
  });
}

/**
 * Narrower than Go's url.Parse, which has many cases: a scheme, a host of a domain's form, a path of the characters
 * of RFC 3986.
 */
function isPlainUri(text: string): boolean {
  const [, host] =
    /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([A-Za-z0-9._-]*)(?:\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*)?$/.exec(
      text,
    ) ?? [];
  return host !== undefined && (host === "" || isDomain(host));
}

/** What Go takes for a domain: printable labels, none of them empty. A constraint may begin with a dot. */
function isDomain(text: string): boolean {
  return text === "" || /^\.?(?:[!-\-/-~]+\.)*[!-\-/-~]+$/.test(text);
}

function checkNameConstraints(value: Buffer): void {
  const outer = new DerReader(value);
  const constraints = outer.inside();
  outer.end();
  const subtrees = [
    constraints.optional(context.constructed(0)),
    constraints.optional(context.constructed(1)),
  ];
  constraints.end();
  if (subtrees.every((one) => one === undefined || one.length === 0)) refuse("empty name constraints");
  for (const subtree of subtrees.filter((one) => one !== undefined)) {
    for (const list = new DerReader(subtree); !list.isAtEnd;) checkConstraint(list.inside().next());
  }
}

function checkConstraint({ tag, body }: Element): void {
  const text = body.toString("latin1");
  const isName = isDomain(text);
  switch (tag) {
    case context.primitive(2):
      if (!isName) refuse("a name constraint that is no DNS domain");
      return;
    case context.primitive(1):
      if (!isName && !/^[A-Za-z0-9._+-]+@/.test(text)) {
        refuse("a name constraint that is no mailbox and no domain");
      }
      return;
    case context.primitive(6):
      if (!isName || isIP(text) !== 0) refuse("a name constraint that is no domain of URIs");
      return;
    case context.primitive(7):
      if (body.length !== 8 && body.length !== 32)
        refuse(`a name constraint with an IP range of ${body.length} bytes`);
      if (!isMask(body.subarray(body.length / 2))) refuse("a name constraint with an IP mask that has gaps");
  }
}

function isMask(mask: Buffer): boolean {
  return /^1*0*$/.test([...mask].map((byte) => byte.toString(2).padStart(8, "0")).join(""));
}

function checkDistributionPoints(value: Buffer): void {
  each(value, (list) => {
    const name = list.inside().optional(context.constructed(0));
    if (name === undefined) return;
    const uris = new DerReader(new DerReader(name).read(context.constructed(0)));
    while (uris.tag === context.primitive(6)) uris.next();
  });
}

function checkAuthorityKeyId({ critical, value }: ExtensionField): void {
  if (isTrue(critical)) refuse("an authority key identifier that is marked critical");
  new DerReader(value).inside().optional(context.primitive(0));
}

function checkSubjectKeyId({ critical, value }: ExtensionField): void {
  if (isTrue(critical)) refuse("a subject key identifier that is marked critical");
  new DerReader(value).read(tags.octetString);
}

function checkPolicyConstraints(value: Buffer): void {
  const constraints = new DerReader(value).inside();
  for (const number of [0, 1]) {
    const skipped = constraints.optional(context.primitive(number));
    if (skipped !== undefined) checkInt64(skipped);
  }
}

function checkPolicies(value: Buffer): void {
  const seen = new Set<string>();
  each(value, (list) => {
    const oid = list.inside().read(tags.oid);
    if (oid.length === 0 || !isMinimalOid(oid) || seen.has(oid.toString("hex")))
      refuse("certificate policies that are malformed");
    seen.add(oid.toString("hex"));
  });
}

function checkInfoAccess({ critical, value }: ExtensionField): void {
  if (isTrue(critical)) refuse("authority information access that is marked critical");
  each(value, (list) => {
    const description = list.inside();
    checkOid(description.read(tags.oid));
    description.optional(context.primitive(6));
  });
}

/** The elements of a SEQUENCE, one after the other. */
function each(value: Buffer, check: (list: DerReader) => void): void {
  for (const list = new DerReader(value).inside(); !list.isAtEnd;) check(list);
}
