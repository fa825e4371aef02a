import { context } from "./der.ts";
import { attributesOf } from "./distinguished-name.ts";

/** One GeneralName (RFC 5280, section 4.2.1.6), or the base of a name constraint. */
export interface GeneralName {
  /** Its tag, one of {@link nameForms} or another. */
  readonly form: number;
  /** The content. Of a directory name: the SEQUENCE. */
  readonly value: Buffer;
}

/** The forms of names that verifiers compare, by their tags. */
export const nameForms = {
  email: context.primitive(1),
  dns: context.primitive(2),
  directory: context.constructed(4),
  uri: context.primitive(6),
  ip: context.primitive(7),
} as const;

export interface NameConstraints {
  /** Of each form that stands here a name must be below one; a form that does not is free. */
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/**
 * The first of `names` that `constraints` do not allow (RFC 5280, section 4.2.1.10), or `undefined`. A form
 * that verifiers do not know is not allowed as soon as it is constrained.
 */
export function firstForbidden(
  names: readonly GeneralName[],
  { permitted, excluded }: NameConstraints,
): GeneralName | undefined {
  return names.find((name) => {
    const isConstrained = (base: GeneralName) => base.form === name.form;
    const bases = permitted.filter(isConstrained);
    const covers = coverage.get(name.form);
    if (covers === undefined) return bases.length > 0 || excluded.some(isConstrained);
    return (
      (bases.length > 0 && !bases.some((base) => covers(base.value, name.value))) ||
      excluded.filter(isConstrained).some((base) => covers(base.value, name.value))
    );
  });
}

/**
 * The names of a certificate that constraints apply to: its alternative names, its subject, and the subject's
 * e-mail addresses.
 */
export function constrainedNames(names: readonly GeneralName[], subject: Buffer): GeneralName[] {
  const attributes = attributesOf(subject);
  if (attributes.length === 0) return [...names];
  const emails = attributes
    .filter(({ id }) => id === emailAddress)
    .map(({ text }) => Buffer.from(text, "latin1"));
  return [
    ...names,
    { form: nameForms.directory, value: subject },
    ...emails.map((value) => ({ form: nameForms.email, value })),
  ];
}

/** Whether the base covers a name, form by form. Text is ASCII and compared without case. */
const coverage: ReadonlyMap<number, (base: Buffer, name: Buffer) => boolean> = new Map([
  [nameForms.dns, (base, name) => isHostBelow(textOf(base), textOf(name))],
  [nameForms.email, (base, name) => isMailboxBelow(textOf(base), textOf(name))],
  [nameForms.uri, (base, name) => isUriBelow(textOf(base), textOf(name))],
  [nameForms.ip, isInRange],
  [nameForms.directory, isDirectoryBelow],
]);

function textOf(value: Buffer): string {
  return value.toString("latin1").toLowerCase();
}

/** A domain covers itself and all below it; with a leading dot, as some CAs write it, only what is below. */
function isHostBelow(base: string, name: string): boolean {
  if (base === "") return true;
  return base.startsWith(".") ? name.endsWith(base) : name === base || name.endsWith(`.${base}`);
}

/** A mailbox covers itself, a host its mailboxes, a domain with a leading dot those of all hosts below it. */
function isMailboxBelow(base: string, name: string): boolean {
  if (base.includes("@")) return base === name;
  const host = name.slice(name.lastIndexOf("@") + 1);
  return base === "" || (base.startsWith(".") ? host.endsWith(base) : host === base);
}

/** A host covers the URIs of that host alone, a domain with a leading dot those of all hosts below it. */
function isUriBelow(base: string, uri: string): boolean {
  const host = /^[^:]+:\/\/([^/:?#]+)/.exec(uri)?.[1];
  if (host === undefined) return false;
  return base === "" || (base.startsWith(".") ? host.endsWith(base) : host === base);
}

/** The base is an address and a mask. */
function isInRange(base: Buffer, address: Buffer): boolean {
  if (base.length !== 2 * address.length) return false;
  const mask = base.subarray(address.length);
  return address.every((byte, index) => ((byte ^ (base[index] ?? 0)) & (mask[index] ?? 0)) === 0);
}

/** The base's attributes are the first of the name's. */
function isDirectoryBelow(base: Buffer, name: Buffer): boolean {
  const attributes = attributesOf(name);
  return attributesOf(base).every(({ id, text, part }, index) => {
    const other = attributes[index];
    return other?.id === id && other.text === text && other.part === part;
  });
}

/** emailAddress, 1.2.840.113549.1.9.1. */
const emailAddress = "2a864886f70d010901";
