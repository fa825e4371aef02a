import { createHash } from "node:crypto";
import { pipeline, Readable } from "node:stream";
import { promisify } from "node:util";
import { createGzip, gzip } from "node:zlib";
import type { HttpAnswer, Request, Route, Routes } from "../server/routes.ts";

/** The two files that the page loads. */
export interface ConsoleAssets {
  readonly script: string;
  readonly style: string;
}

/**
 * What the page may do: run its own script, and read from the server that it came from. Nothing may frame it.
 */
export const pageHeaders: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

/** The page and its files. Each file has a name that changes with its content, and may be kept for ever. */
export function pageRoutes({ script, style }: ConsoleAssets): Routes {
  const files = {
    script: { path: `/console-${digest(script)}.js`, text: script },
    style: { path: `/console-${digest(style)}.css`, text: style },
  };
  // Relative: the page may stand below a path of a proxy.
  const html = document.replace("SCRIPT", `.${files.script.path}`).replace("STYLE", `.${files.style.path}`);
  return new Map([
    ["/", fileRoute("text/html", html)],
    [files.script.path, fileRoute("text/javascript", files.script.text, immutable)],
    [files.style.path, fileRoute("text/css", files.style.text, immutable)],
  ]);
}

const immutable = { "Cache-Control": "public, max-age=31536000, immutable" };

function fileRoute(type: string, text: string, headers: Readonly<Record<string, string>> = {}): Route {
  const plain = Buffer.from(text);
  let zipped: Promise<Buffer> | undefined;
  return async (request: Request): Promise<HttpAnswer> => {
    const isZipped = acceptsGzip(request);
    const body = isZipped ? await (zipped ??= promisify(gzip)(plain)) : plain;
    return {
      ...{ status: 200, type: `${type}; charset=utf-8`, pieces: [body] },
      headers: { ...headers, Vary: "Accept-Encoding", ...(isZipped && { "Content-Encoding": "gzip" }) },
    };
  };
}

/** An answer that is compressed while it is sent, if the client takes that: ten thousand identities are megabytes. */
export function zipped(request: Request, { pieces, ...answer }: HttpAnswer): HttpAnswer {
  if (!acceptsGzip(request)) return { ...answer, pieces };
  // An error ends the stream that is read, too.
  const zip = pipeline(Readable.from(pieces), createGzip({ level: 1 }), () => undefined);
  return { ...answer, pieces: zip, headers: { "Content-Encoding": "gzip" } };
}

function acceptsGzip({ headers: { "accept-encoding": accepted = "" } }: Request): boolean {
  return /\bgzip\b/.test(accepted);
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

const icon =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E" +
  "%3Cpath d='M16 2 28 7v8c0 7-5 12-12 15C9 27 4 22 4 15V7z' fill='%23186a5b'/%3E" +
  "%3Cpath d='m10 16 4 4 8-9' fill='none' stroke='%23fff' stroke-width='3'/%3E%3C/svg%3E";

const document = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>attaché</title>
<link rel="icon" href="${icon}">
<link rel="stylesheet" href="STYLE">
<script type="module" src="SCRIPT"></script>
</head>
<body>
<div id="root"><p class="boot">Reading…</p></div>
<noscript><p class="boot">This page needs JavaScript. <code>attache status</code> shows the same in a terminal.</p></noscript>
</body>
</html>
`;
