/**
 * YAML of plain data, a line for each value however long, that says the same to readers of YAML 1.1, as
 * kubectl is one, and 1.2. What is `undefined` is left out.
 *
 * Written here and not by the library, which makes a document of nodes first: for the files of one identity
 * that is 0.5 MB of garbage, and a third of all that there is.
 */
export function writeYaml(data: object): string {
  return block(data, "");
}

function block(value: object, indent: string): string {
  if (Array.isArray(value)) {
    // The item begins on the line of its dash, in place of the indentation.
    return value.map((item) => `${indent}-${behind(item, indent).replace(/^\n +/, " ")}`).join("");
  }
  return Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${indent}${scalar(name)}:${behind(member, indent)}`)
    .join("");
}

/** The text after a colon or a dash. */
function behind(value: unknown, indent: string): string {
  if (typeof value !== "object" || value === null) return ` ${scalar(value)}\n`;
  const inner = block(value, `${indent}  `);
  if (inner === "") return Array.isArray(value) ? " []\n" : " {}\n";
  return `\n${inner}`;
}

function scalar(value: unknown): string {
  if (typeof value !== "string" || (plain.test(value) && !reserved.test(value))) return String(value);
  return JSON.stringify(value.toWellFormed()).replace(breaks, escaped);
}

/**
 * Begins like no number and no sign that means something, and goes on like neither a mapping nor a comment.
 */
const plain = /^[A-Za-z/][A-Za-z0-9/+=._-]*$/;
const reserved = /^(?:y|n|yes|no|on|off|true|false|null)$/i;

/** What JSON leaves as it is, and YAML takes for the end of a line, or not at all. */
const breaks = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
