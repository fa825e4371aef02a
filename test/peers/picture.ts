import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Debian's package `chromium`; `.ci/run` installs it where it may. */
export const executablePath = "/usr/bin/chromium";

/** Whether the pictures of README.md and docs are taken again. */
export const takesPictures = process.env["ATTACHE_TEST_PICTURES"] !== undefined;

export const pictures = join(import.meta.dirname, "../../docs/images");

/** Takes a picture of a whole page. @param width in pixels */
export async function pictureOf(html: string, name: string, width = 1200): Promise<void> {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const page = await browser.newPage({ viewport: { width, height: 400 } });
  await page.setContent(html);
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  await browser.close();
}

/** Draws what a command has printed as a terminal shows it. */
export async function terminalPicture(command: string, printed: string, name: string): Promise<void> {
  const lines = [`$ ${command}`, ...printed.trimEnd().split("\n")].flatMap(wrapped);
  const [width, height] = [Math.max(...lines.map((line) => line.length)) * 7.85 + 40, lines.length * 19 + 36];
  const texts = lines.map((line, index) => {
    const text = line.replace(/[&<>]/g, (one) => `&#${one.charCodeAt(0)};`);
    const bold = index === 0 ? ` font-weight="700"` : "";
    return `<text x="20" y="${index * 19 + 32}"${bold} xml:space="preserve">${text}</text>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${Math.ceil(width)} ${height}" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" fill="#e6e8ea">
<rect width="100%" height="100%" rx="8" fill="#14171a"/>
${texts.join("\n")}
</svg>
`;
  await writeFile(join(pictures, `${name}.svg`), svg);
}

/** In lines of at most 140 characters. */
function wrapped(line: string): string[] {
  if (line.length <= 140) return [line];
  const end = Math.max(line.lastIndexOf(" ", 140), 60);
  return [line.slice(0, end), ...wrapped(line.slice(end).trimStart())];
}
