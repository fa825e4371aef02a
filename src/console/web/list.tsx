import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type IdentityRow, type HealthLevel, levels, type Overview } from "../page-data.ts";
import { Icon, LifeBar, When, words } from "./parts.tsx";

/** In pixels, as in style.css; on a narrow screen a row has two lines more. */
const heights = { wide: 52, narrow: 84 };
const narrow = matchMedia("(max-width: 720px)");

/** Rows above and below those that are seen. */
const margin = 8;

/** What was searched for last: it stays when the reader comes back from an identity. */
const kept: { query: string; level: HealthLevel | undefined; scroll: number } = {
  query: "",
  level: undefined,
  scroll: 0,
};

interface ListProps {
  readonly rows: readonly IdentityRow[];
  readonly overview: Overview;
  readonly now: number;
}

export function IdentityList({ rows, overview: { counts }, now }: ListProps) {
  const [query, setQuery] = useState(kept.query);
  const [level, setLevel] = useState(kept.level);
  const search = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const found = useMemo(() => matching(rows, query, level), [rows, query, level]);
  const { first, last, height, show } = useWindow(list, found.length);

  useEffect(() => void Object.assign(kept, { query, level }), [query, level]);
  useEffect(() => {
    scrollTo(0, kept.scroll);
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.target instanceof HTMLInputElement) return;
      event.preventDefault();
      search.current?.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const onKeyDown = (event: KeyboardEvent) => {
    const at = Number((event.target as HTMLElement).dataset["index"] ?? -1);
    const steps: Readonly<Record<string, number>> = {
      ...{
        ArrowDown: at + 1,
        ArrowUp: at - 1,
        PageDown: at + 10,
        PageUp: at - 10,
        Home: 0,
        End: found.length - 1,
      },
    };
    const next = steps[event.key];
    if (event.key === "Escape" && event.target === search.current) setQuery("");
    if (next === undefined || (event.target === search.current && event.key !== "ArrowDown")) return;
    event.preventDefault();
    if (next < 0) search.current?.focus();
    else show(Math.min(next, found.length - 1));
  };

  const all = rows.length;
  return (
    <section aria-labelledby="identities" onKeyDown={onKeyDown}>
      <h2 id="identities">Identities</h2>
      <div class="filters">
        <input
          ref={search}
          type="search"
          placeholder="Search by name, mesh, SPIFFE ID or reason"
          aria-label="Search identities"
          aria-keyshortcuts="/"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
        <div class="chips" role="group" aria-label="Show only">
          <Chip isOn={level === undefined} onClick={() => setLevel(undefined)}>
            all {all}
          </Chip>
          {levels.toReversed().map((one) => (
            <Chip key={one} isOn={level === one} onClick={() => setLevel(level === one ? undefined : one)}>
              <Icon level={one} size={14} /> {counts[one]}
            </Chip>
          ))}
        </div>
      </div>
      <p class="muted" aria-live="polite">
        {found.length === all ? "" : `${found.length} of ${all}`}
        {all > 0 && found.length === 0 && ": nothing matches."}
      </p>
      <div ref={list} class="list" role="list" style={{ height: `${found.length * height}px` }}>
        {found.slice(first, last).map((row, index) => (
          <Row
            key={row.key}
            row={row}
            now={now}
            index={first + index}
            count={found.length}
            top={(first + index) * height}
          />
        ))}
      </div>
    </section>
  );
}

interface RowProps {
  readonly row: IdentityRow;
  readonly now: number;
  readonly index: number;
  readonly count: number;
  readonly top: number;
}

function Row({ row, now, index, count, top }: RowProps) {
  const { key, mesh, level, reason, spiffeId, notAfter } = row;
  return (
    <div
      role="listitem"
      class="row"
      style={{ top: `${top}px` }}
      aria-posinset={index + 1}
      aria-setsize={count}
    >
      <a href={`#/${key}`} data-index={index} onClick={() => (kept.scroll = scrollY)}>
        <Icon level={level} />
        <span class="name">
          <b>{key}</b>
          <small>{spiffeId ?? "no SPIFFE ID yet"}</small>
        </span>
        <span class="mesh-name">{mesh}</span>
        <span class={`reason ${level}`}>{reason ?? words[level]}</span>
        <LifeBar row={row} now={now} />
        <span class="end">{notAfter === undefined ? "" : <When time={notAfter} now={now} />}</span>
      </a>
    </div>
  );
}

function Chip(props: {
  readonly isOn: boolean;
  readonly onClick: () => void;
  readonly children: preact.ComponentChildren;
}) {
  return (
    <button type="button" class="chip" aria-pressed={props.isOn} onClick={props.onClick}>
      {props.children}
    </button>
  );
}

function matching(
  rows: readonly IdentityRow[],
  query: string,
  level: HealthLevel | undefined,
): readonly IdentityRow[] {
  const terms = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (terms.length === 0 && level === undefined) return rows;
  return rows.filter((row) => {
    if (level !== undefined && row.level !== level) return false;
    const text = `${row.key} ${row.mesh} ${row.spiffeId ?? ""} ${row.reason ?? ""}`.toLowerCase();
    return terms.every((term) => text.includes(term));
  });
}

/** The rows that the window shows now. `show` scrolls to one, and gives it the focus. */
function useWindow(list: { readonly current: HTMLDivElement | null }, count: number) {
  const [height, setHeight] = useState(narrow.matches ? heights.narrow : heights.wide);
  const [range, setRange] = useState({ first: 0, last: 20 });
  const wanted = useRef<number | undefined>(undefined);

  useLayoutEffect(() => {
    const look = () => {
      const top = list.current?.getBoundingClientRect().top ?? 0;
      const first = Math.max(0, Math.floor(-top / height) - margin);
      const last = Math.min(count, Math.ceil((innerHeight - top) / height) + margin);
      setRange((before) => (before.first === first && before.last === last ? before : { first, last }));
    };
    const resize = () => setHeight(narrow.matches ? heights.narrow : heights.wide);
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    narrow.addEventListener("change", resize);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
      narrow.removeEventListener("change", resize);
    };
  });

  const focus = () => {
    const row = list.current?.querySelector<HTMLElement>(`[data-index="${wanted.current ?? -1}"]`);
    if (!row) return;
    wanted.current = undefined;
    row.focus();
  };
  useLayoutEffect(focus);

  const show = (index: number) => {
    wanted.current = index;
    const top = (list.current?.getBoundingClientRect().top ?? 0) + index * height;
    if (top < height) scrollBy(0, top - 2 * height);
    else if (top + height > innerHeight) scrollBy(0, top + 2 * height - innerHeight);
    focus();
  };
  return { ...range, height, show };
}
