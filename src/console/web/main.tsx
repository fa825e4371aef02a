import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { IdentityView } from "./identity.tsx";
import { IdentityList } from "./list.tsx";
import { Live } from "./live.ts";
import { OverviewView } from "./overview.tsx";

const root = document.getElementById("root");
root?.replaceChildren();
let isDrawn = false;

/** However often it is called before the next frame. */
function draw(): void {
  if (isDrawn || root === null) return;
  isDrawn = true;
  requestAnimationFrame(() => {
    isDrawn = false;
    render(<App />, root);
  });
}

const live = new Live(draw);
addEventListener("hashchange", draw);
// Times move on while nothing else happens.
setInterval(() => document.hidden || draw(), 1_000);

/** NAMESPACE/NAME of the identity that the address names. */
function shownKey(): string | undefined {
  const key = decodeURIComponent(location.hash.slice(2));
  return key === "" ? undefined : key;
}

function App() {
  const { known } = live;
  const { overview, rows, link, problem, aheadMs } = known;
  const now = Math.floor((Date.now() + aheadMs) / 1_000);
  const key = shownKey();
  useEffect(() => {
    document.title = titleOf(known);
  });
  return (
    <>
      <header class="top">
        <a href="#/" class="brand">
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <path d="M16 2 28 7v8c0 7-5 12-12 15C9 27 4 22 4 15V7z" class="shield" />
            <path d="m10 16 4 4 8-9" class="tick" />
          </svg>
          attaché
        </a>
        <span class="place">
          {overview && `${overview.attache.installation} · ${overview.attache.place}`}
        </span>
        <LinkState link={link} now={now} />
      </header>
      <main>
        {link === "lost" && (
          <p class="lost" role="alert">
            Connection lost: what is shown here is old. {problem} The page keeps trying.
          </p>
        )}
        {link === "token" ? (
          <SignIn problem={problem} />
        ) : overview === undefined ? (
          <p class="boot">{link === "lost" ? "" : "Reading…"}</p>
        ) : key !== undefined ? (
          <IdentityView key={key} name={key} live={live} now={now} version={overview.version} />
        ) : (
          <>
            <OverviewView overview={overview} />
            <IdentityList rows={rows} overview={overview} now={now} />
          </>
        )}
      </main>
      <footer>{overview && `attaché ${overview.attache.version} · read-only`}</footer>
    </>
  );
}

function LinkState({ link, now }: { readonly link: Live["known"]["link"]; readonly now: number }) {
  const text = { connecting: "connecting", live: "live", lost: "connection lost", token: "not signed in" }[
    link
  ];
  return (
    <span class={`link ${link}`}>
      <span class="dot" aria-hidden="true" />
      {text}
      {link === "live" && <span class="clock">{new Date(now * 1_000).toISOString().slice(11, 19)} UTC</span>}
    </span>
  );
}

function SignIn({ problem }: { readonly problem: string | undefined }) {
  const [token, setToken] = useState("");
  return (
    <form
      class="card signin"
      onSubmit={(event) => {
        event.preventDefault();
        live.signIn(token.trim());
      }}
    >
      <h1>Sign in</h1>
      <p>
        A token of a user or ServiceAccount that may list MeshCertificates. The page keeps it in memory only.
      </p>
      <label for="token">Token</label>
      <input
        id="token"
        type="password"
        autocomplete="off"
        value={token}
        onInput={(event) => setToken(event.currentTarget.value)}
      />
      <button type="submit">Sign in</button>
      {problem !== undefined && <p class="muted">{problem}</p>}
    </form>
  );
}

/** Readable in a row of tabs: the worst first. */
function titleOf({ overview, link }: Live["known"]): string {
  if (link === "lost") return "? attaché";
  const marks = { good: "✓", waiting: "…", warning: "!", alarm: "✗" };
  return overview === undefined
    ? "attaché"
    : `${marks[overview.verdict.level]} attaché ${overview.attache.installation}`;
}
