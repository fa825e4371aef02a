/** Text out of a certificate, fit for a message: one line of ASCII, at most 120 characters. */
export function printable(text: string): string {
  return text
    .replaceAll("\n", ", ")
    .replace(/[^ -~]/g, "?")
    .slice(0, 120);
}
