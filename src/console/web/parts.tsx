import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Answer, IdentityRow, HealthLevel } from "../page-data.ts";

/** Shown beside each icon, or read in its place. */
export const words: Readonly<Record<HealthLevel, string>> = {
  good: "good",
  waiting: "waiting",
  warning: "needs attention",
  alarm: "needs action",
};

/** Each level has its own shape, so that no color is needed to tell them apart. */
export function Icon({ level, size = 18 }: { readonly level: HealthLevel; readonly size?: number }) {
  const shapes: Readonly<Record<HealthLevel, ComponentChildren>> = {
    good: (
      <>
        <circle cx="12" cy="12" r="10" class="fill" />
        <path d="m7.5 12.5 3 3 6-7" class="mark" />
      </>
    ),
    waiting: (
      <>
        <circle cx="12" cy="12" r="9" class="ring" />
        <path d="M12 7v5l3.5 2" class="hand" />
      </>
    ),
    warning: (
      <>
        <path d="M12 2.5 22.5 21h-21z" class="fill" />
        <path d="M12 9v5.5m0 2.6v.4" class="mark" />
      </>
    ),
    alarm: (
      <>
        <path d="M8 1.8h8L22.2 8v8L16 22.2H8L1.8 16V8z" class="fill" />
        <path d="m8.5 8.5 7 7m0-7-7 7" class="mark" />
      </>
    ),
  };
  return (
    <svg
      class={`icon ${level}`}
      viewBox="0 0 24 24"
      width={size}
      height={size}
      role="img"
      aria-label={words[level]}
    >
      {shapes[level]}
    </svg>
  );
}

export function Command({ text }: { readonly text: string | undefined }) {
  const [isCopied, setCopied] = useState(false);
  if (!text) return null;
  const copy = () => {
    void navigator.clipboard.writeText(text).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 2_000);
    });
  };
  return (
    <div class="command">
      <code tabIndex={0}>{text}</code>
      <button type="button" onClick={copy} aria-label={`Copy: ${text}`}>
        {isCopied ? "Copied" : "Copy"}
      </button>
    </div>
  );
}

export function AnswerCard({ question, answer }: { readonly question: string; readonly answer: Answer }) {
  return (
    <article class="card answer">
      <h2>{question}</h2>
      <p>
        <Icon level={answer.level} /> <span>{answer.text}</span>
      </p>
      <Command text={answer.command} />
    </article>
  );
}

type Life = Pick<IdentityRow, "notBefore" | "renewal" | "notAfter">;

/** From issue to end: how far it has come, and when the renewal is due. */
export function LifeBar({
  row,
  now,
  height = 8,
}: {
  readonly row: Life;
  readonly now: number;
  readonly height?: number;
}) {
  const { notBefore, renewal, notAfter } = row;
  if (notBefore === undefined || notAfter === undefined)
    return <span class="life none">nothing published</span>;
  const at = (time: number) =>
    Math.min(100, Math.max(0, (100 * (time - notBefore)) / (notAfter - notBefore || 1)));
  // A renewal that is late by a tenth of the life needs attention, whatever the status says.
  const isLate = renewal !== undefined && now > renewal + (notAfter - notBefore) / 10;
  const level = now >= notAfter ? "alarm" : isLate ? "warning" : "good";
  const middle = height / 2;
  const label = `${Math.round(at(now))} % of its life has passed; ends ${until(notAfter, now)}`;
  return (
    <svg
      class={`life ${level}`}
      viewBox={`0 0 100 ${height}`}
      height={height}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <line x1="0" x2="100" y1={middle} y2={middle} class="track" />
      <line x1="0" x2={at(now)} y1={middle} y2={middle} class="passed" />
      {renewal !== undefined && <line x1={at(renewal)} x2={at(renewal)} y1="0" y2={height} class="renewal" />}
    </svg>
  );
}

/** Numbers of the last hour, as bars beside their sum. */
export function Bars({ values, label }: { readonly values: readonly number[]; readonly label: string }) {
  const most = Math.max(1, ...values);
  const sum = values.reduce((all, one) => all + one, 0);
  return (
    <span class="rate">
      {sum}
      <svg
        class="bars"
        viewBox={`0 0 ${values.length * 6} 20`}
        width={values.length * 6}
        height="20"
        role="img"
        aria-label={`${sum} ${label}`}
      >
        {values.map((value, index) => {
          const height = value === 0 ? 1 : 3 + (17 * value) / most;
          return (
            <rect
              key={index}
              x={index * 6}
              y={20 - height}
              width="4"
              height={height}
              class={value === 0 ? "zero" : ""}
            />
          );
        })}
      </svg>
    </span>
  );
}

const units = [
  ["y", 31_536_000],
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
] as const;

/** `3 h`, `2 d`; in the largest unit of which there are two, or one. */
export function span(seconds: number): string {
  const all = Math.abs(Math.round(seconds));
  const [unit, size] = units.find(([, one]) => all >= 2 * one) ?? ["s", 1];
  return `${Math.floor(all / size)} ${unit}`;
}

/** @param time in Unix seconds */
export function until(time: number, now: number): string {
  return time >= now ? `in ${span(time - now)}` : `${span(now - time)} ago`;
}

/** How long ago a time of the past is, with the exact time behind it. */
export function For({ time, now }: { readonly time: string; readonly now: number }) {
  return (
    <time dateTime={time} title={time}>
      {span(now - Date.parse(time) / 1_000)}
    </time>
  );
}

/** A time of the past or future, with the exact one behind it. */
export function When({ time, now }: { readonly time: string | number | undefined; readonly now: number }) {
  if (time === undefined) return null;
  const date = new Date(typeof time === "number" ? time * 1_000 : time);
  const text = date.toISOString().replace(".000", "");
  return (
    <time dateTime={text} title={text}>
      {until(date.getTime() / 1_000, now)}
    </time>
  );
}
