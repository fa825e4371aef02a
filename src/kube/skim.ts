/** The largest member of an object's metadata, spec or status that is read, in bytes. */
export const maxMemberBytes = 512 * 1024;

/** Of an event `{ type, object: { metadata: { … }, … } }`: the members of what stands in the object. */
const deepest = 3;

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const opening: ReadonlySet<number | undefined> = new Set([0x7b, 0x5b]);
const closing: ReadonlySet<number | undefined> = new Set([0x7d, 0x5d]);
const space: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * The JSON of an event without the members of its metadata, spec and status that are larger than
 * {@link maxMemberBytes}: to parse a megabyte of labels takes thirty milliseconds, to skip it two. What is no
 * JSON stays none.
 */
export function skim(json: Buffer): { readonly json: string; readonly isCut: boolean } {
  const end = endOf(json, 0);
  let isCut = false;
  const short = kept({ json, cut: () => (isCut = true) }, 0, end, 0);
  // What follows the value is for the parser to refuse.
  return { json: short + json.toString("utf8", end), isCut };
}

interface Skimming {
  readonly json: Buffer;
  readonly cut: () => void;
}

/** The value from `at` to `end` at a depth. */
function kept(skimming: Skimming, at: number, end: number, depth: number): string {
  const { json, cut } = skimming;
  if (end - at <= maxMemberBytes || depth === deepest || json[at] !== 0x7b)
    return json.toString("utf8", at, end);
  const members: string[] = [];
  for (const { from, value, to } of membersOf(json, at, end)) {
    if (depth === deepest - 1 && to - value > maxMemberBytes) cut();
    else members.push(json.toString("utf8", from, value) + kept(skimming, value, to, depth + 1));
  }
  return `{${members.join()}}`;
}

interface Member {
  /** Where its name begins, and its value begins and ends. */
  readonly from: number;
  readonly value: number;
  readonly to: number;
}

function* membersOf(json: Buffer, at: number, end: number): Generator<Member> {
  for (let from = afterSpace(json, at + 1); json[from] === quote && from < end;) {
    const separator = afterSpace(json, endOfText(json, from));
    if (json[separator] !== colon) return;
    const value = afterSpace(json, separator + 1);
    const to = endOf(json, value);
    yield { from, value, to };
    const next = afterSpace(json, to);
    if (json[next] !== comma) return;
    from = afterSpace(json, next + 1);
  }
}

function afterSpace(json: Buffer, at: number): number {
  let next = at;
  while (space.has(json[next])) next += 1;
  return next;
}

/** Where the value that begins at `at` ends, nested ones with it. */
function endOf(json: Buffer, at: number): number {
  if (json[at] === quote) return endOfText(json, at);
  let depth = 0;
  for (let next = at; next < json.length;) {
    const byte = json[next];
    if (byte === quote) {
      next = endOfText(json, next);
      continue;
    }
    if (opening.has(byte)) depth += 1;
    else if (closing.has(byte)) {
      // The end of what a plain value stands in.
      if (depth === 0) return next;
      depth -= 1;
      if (depth === 0) return next + 1;
    } else if (depth === 0 && byte === comma) return next;
    next += 1;
  }
  return json.length;
}

function endOfText(json: Buffer, at: number): number {
  for (let end = json.indexOf(quote, at + 1); end !== -1; end = json.indexOf(quote, end + 1)) {
    let escapes = 0;
    while (json[end - 1 - escapes] === backslash) escapes += 1;
    if (escapes % 2 === 0) return end + 1;
  }
  return json.length;
}
