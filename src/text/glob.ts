/**
 * Whether `pattern`, in which `*` stands for any characters, covers the whole of `text`.
 *
 * No regular expression: its time could grow with a power of the length of a text that another party chooses.
 */
export function globMatches(text: string, pattern: string): boolean {
  const [head = "", ...rest] = pattern.split("*");
  const tail = rest.pop();
  if (tail === undefined) return text === head;
  const end = text.length - tail.length;
  let at = text.startsWith(head) && text.endsWith(tail) ? head.length : Infinity;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    at = found < 0 ? Infinity : found + part.length;
  }
  return at <= end;
}
