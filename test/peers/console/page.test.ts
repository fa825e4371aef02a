import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { consoleAssets } from "#console-assets";
import type { Status } from "../../../src/api/status.ts";
import { History } from "../../../src/console/history.ts";
import { runDemo } from "../../../src/demo/demo.ts";
import { readContext } from "../../../src/demo/published.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { condition, consoleIdentity, serveConsole, type Shown, shown } from "../../fixtures/console.ts";
import { executablePath, pictures, takesPictures } from "../picture.ts";
import { many, troubled } from "./scene.ts";

const isThere = existsSync(executablePath);
if (!isThere)
  process.stderr.write(`skipped, because there is no ${executablePath}: apt-get install chromium\n`);

const desk = { viewport: { width: 1200, height: 860 } };
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true };

let browser: Browser;

describe.skipIf(!isThere)("the page in Chromium", () => {
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(() => browser.close());

  it.each<[string, BrowserContextOptions]>([
    ["light", { ...desk, colorScheme: "light" }],
    ["dark", { ...desk, colorScheme: "dark" }],
    ["phone", { ...phone, colorScheme: "light" }],
  ])("shows what is wrong, and axe finds nothing: %s", async (name, look) => {
    const { url } = await served(await troubled());
    const page = await opened(url, look);
    await page.getByRole("heading", { name: "Act now" }).waitFor();
    await page.getByText("Mapping shop/legacy").first().waitFor();
    await page.getByText("emissary/billing").first().waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await picture(page, name);
    await page.goto(`${url}#/emissary/storefront`);
    await page.getByRole("heading", { name: "Loaded by Emissary" }).waitFor();
    await page.getByText("an older leaf").waitFor();
    expect(await axeFindings(page)).toEqual([]);
    if (name === "light") await picture(page, "identity", true);
    expect(await isWiderThanWindow(page)).toBe(false);
  });

  it("shows an alarm by itself, in the title too, and that it has ended", async () => {
    const source = shown({ identities: many(3) });
    const { url } = await served(source);
    const page = await opened(url);
    const verdict = page.getByRole("status");
    await verdict.getByText("All is well").waitFor();
    const failed = condition("Ready", {
      status: "False",
      reason: "Expired",
      message: "The leaf has expired.",
    });
    source.identities = [...many(2), consoleIdentity("billing", { conditions: [failed] })];
    await verdict.getByText("Act now").waitFor();
    await page.getByText("The leaf has expired.").waitFor();
    expect(await page.title()).toBe("✗ attaché attache");
    source.identities = many(3);
    await verdict.getByText("All is well").waitFor();
  });

  it("moves with a rotation", async () => {
    const life = (passedMs: number): Partial<Status> => ({
      notBefore: new Date(Date.now() - passedMs).toISOString(),
      notAfter: new Date(Date.now() + 100_000_000 - passedMs).toISOString(),
    });
    const source = shown({ identities: [consoleIdentity("storefront", life(70_000_000))] });
    const { url } = await served(source);
    const page = await opened(url);
    await page.getByLabel("70 % of its life has passed").waitFor();
    source.identities = [consoleIdentity("storefront", life(0))];
    await page.getByLabel("0 % of its life has passed").waitFor();
  });

  it("is used without a mouse", async () => {
    const { url } = await served(shown({ identities: many(40) }));
    const page = await opened(url);
    await page.getByText("emissary/accounts", { exact: true }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("billing");
    await page.getByText("5 of 40").waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "emissary/billing-1" }).waitFor();
    await page.keyboard.press("Escape");
    // The search is still there.
    await page.getByText("5 of 40").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.press("Escape");
    await page.getByText("5 of 40").waitFor({ state: "detached" });
  });

  it("holds 10,000 identities, of which it draws those that are seen", async () => {
    const { url } = await served(shown({ identities: many(10_000) }));
    const page = await opened(url);
    await page.getByRole("button", { name: "all 10000" }).waitFor();
    // Beside the page and the feed, which has not ended.
    const loaded = await page.evaluate<readonly (readonly [name: string, bytes: number])[]>(
      "performance.getEntriesByType('resource').map(({ name, transferSize }) => [name, transferSize])",
    );
    expect(loaded.map(([name]) => new URL(name).pathname.replace(/-\w+\./, ".")).toSorted()).toEqual([
      ...["/api/identities", "/console.css", "/console.js"],
    ]);
    const bytes = loaded.reduce((sum, [, size]) => sum + size, 0);
    expect(bytes).toBeLessThan(500_000);
    const list = page.getByRole("list").last();
    expect(await list.getByRole("listitem").count()).toBeLessThan(60);
    await page.getByLabel("Search identities").focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("End");
    await expect.poll(() => page.evaluate("document.activeElement.dataset.index")).toBe("9999");
    expect(await list.getByRole("listitem").count()).toBeLessThan(60);
    await page.getByLabel("Search identities").fill("billing-777");
    await page.getByText("1 of 10000").waitFor();
  });

  it("says when the server does not answer any more", async () => {
    const { url, end } = await served(shown({ identities: many(3) }));
    const page = await opened(url, {}, [/ERR_/]);
    await page.getByRole("status").getByText("All is well").waitFor();
    await end();
    await page.getByRole("alert").getByText("Connection lost").waitFor();
    expect(await page.title()).toBe("? attaché");
  });

  it("shows the rotations of the demo, and no key", async () => {
    const directory = await mkdtemp(join(tmpdir(), "attache-demo-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const ended = new AbortController();
    const address = Promise.withResolvers<string>();
    const options = { directory, chaos: false, show: () => undefined, onServing: address.resolve };
    const demo = runDemo(options, ended.signal);
    const page = await opened(`${await address.promise}#/emissary/storefront`, {}, [/ERR_/]);
    await page.getByText("initial").waitFor();
    await page
      .getByRole("listitem")
      .getByText(/^(leaf|root|both)$/)
      .first()
      .waitFor();
    const { key } = await readContext(join(directory, "published/emissary"), "storefront");
    const [, line = ""] = key.split("\n");
    expect(line).toHaveLength(64);
    for (const path of ["", "api/identities", "api/identity?name=emissary/storefront"]) {
      const reply = await fetch(`${await address.promise}${path}`);
      const text = await reply.text();
      expect([reply.status, text.includes(line), /PRIVATE KEY|BEGIN CERT/.test(text)]).toEqual([
        200,
        false,
        false,
      ]);
    }
    ended.abort();
    expect(await demo).toMatchObject({ failed: 0 });
  });
});

interface Served {
  readonly url: string;
  readonly end: () => Promise<void>;
}

async function served(source: Shown): Promise<Served> {
  let agoMs = 0;
  const clock = { ...systemClock, now: () => new Date(Date.now() - agoMs) };
  const history = new History(clock, ["consul", "istio"]);
  for (const [index, cause] of (["initial", "leaf", "root", "leaf", "leaf"] as const).entries()) {
    agoMs = (5 - index) * 30 * 3_600_000;
    history.published({ identity: "emissary/storefront", mesh: "consul", cause, propagationMs: 1 });
    if (index > 2) history.failed("consul");
  }
  const server = await serveConsole({ source, history, clock: systemClock, assets: await consoleAssets() });
  let isOver = false;
  const end = async () => {
    if (!isOver) await server[Symbol.asyncDispose]();
    isOver = true;
  };
  onTestFinished(end);
  return { url: `http://127.0.0.1:${server.port}/`, end };
}

/** A page on which nothing may go wrong that is not expected. */
async function opened(
  url: string,
  look: BrowserContextOptions = desk,
  expected: readonly RegExp[] = [],
): Promise<Page> {
  const context = await browser.newContext({
    reducedMotion: "reduce",
    ...look,
  });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", ({ message }) => problems.push(message));
  onTestFinished(async () => {
    await context.close();
    expect(problems.filter((problem) => !expected.some((one) => one.test(problem)))).toEqual([]);
  });
  await page.goto(url);
  return page;
}

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function axeFindings(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe);
  const { violations } = await page.evaluate<{
    readonly violations: readonly {
      readonly id: string;
      readonly nodes: readonly { readonly html: string }[];
    }[];
  }>("axe.run()");
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

function isWiderThanWindow(page: Page): Promise<boolean> {
  return page.evaluate("document.documentElement.scrollWidth > innerWidth");
}

async function picture(page: Page, name: string, fullPage = false): Promise<void> {
  if (takesPictures) await page.screenshot({ path: join(pictures, `console-${name}.png`), fullPage });
}
