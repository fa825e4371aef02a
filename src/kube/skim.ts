/** The largest member of an object's metadata, spec or status that is read, in bytes. */
export const maxMemberBytes = 512 * 1024;

/** Of an event `{ type, object: { metadata: { … }, … } }`: where what stands in the object has its members. */
const membersAt = 3;

/** So many bytes of a text are looked at one by one, and further ones with less overhead. */
const shortText = 64;

const [quote, backslash, comma] = [0x22, 0x5c, 0x2c];
const [beginObject, endObject, beginList, endList] = [0x7b, 0x7d, 0x5b, 0x5d];

/**
 * The JSON of an event without the members of its metadata, spec and status that are larger than
 * {@link maxMemberBytes}: to parse a megabyte of labels takes ten times as long as to skip it. What is no
 * JSON stays none. One pass, and no Set or object in it: most bytes are looked at.
 */
export function skim(json: Buffer): { readonly json: string; readonly isCut: boolean } {
  const { length } = json;
  let kept = "";
  let [copiedTo, depth, from] = [0, 0, 0];
  let isObject = false;
  for (let at = 0; at < length; at += 1) {
    const byte = json[at];
    if (byte === quote) {
      at = endOfText(json, at);
    } else if (byte === beginObject || byte === beginList) {
      depth += 1;
      if (depth !== membersAt) continue;
      from = at + 1;
      isObject = byte === beginObject;
    } else if (byte === comma || byte === endObject || byte === endList) {
      const isEnd = byte !== comma;
      if (depth === membersAt && isObject) {
        if (at - from > maxMemberBytes) {
          kept += json.toString("utf8", copiedTo, from);
          if (isEnd) kept = kept.trimEnd().replace(/,$/, "");
          copiedTo = isEnd ? at : at + 1;
        }
        from = at + 1;
      }
      if (isEnd) depth -= 1;
    }
  }
  return { json: kept + json.toString("utf8", copiedTo), isCut: copiedTo > 0 };
}

/** The place of the quote that ends the text that begins at `begin`. */
function endOfText(json: Buffer, begin: number): number {
  const near = Math.min(begin + shortText, json.length);
  for (let at = begin + 1; at < near; at += 1) {
    const byte = json[at];
    if (byte === quote) return at;
    if (byte === backslash) at += 1;
  }
  return endOfLongText(json, begin);
}

function endOfLongText(json: Buffer, begin: number): number {
  for (let end = json.indexOf(quote, begin + 1); end !== -1; end = json.indexOf(quote, end + 1)) {
    let escapes = 0;
    while (json[end - 1 - escapes] === backslash) escapes += 1;
    if (escapes % 2 === 0) return end;
  }
  return json.length;
}
