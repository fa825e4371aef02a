import { useEffect, useState } from "preact/hooks";
import type { CertificateFacts, IdentityDetail, PodFacts, Rotation } from "../page-data.ts";
import type { Live } from "./live.ts";
import { Consumer } from "./overview.tsx";
import { Command, For, Icon, LifeBar, span, When, words } from "./parts.tsx";

interface IdentityProps {
  readonly name: string;
  readonly live: Live;
  readonly now: number;
  /** Of the identities: the detail is read again with each. */
  readonly version: string;
}

/** All that attaché knows of one identity. */
export function IdentityView({ name, live, now, version }: IdentityProps) {
  const [detail, setDetail] = useState<IdentityDetail>();
  const [problem, setProblem] = useState<string>();
  // What the pods have loaded changes without a new version.
  const turn = `${version} ${Math.floor(now / 5)}`;
  useEffect(() => {
    live.identity(name).then(
      (found) => {
        setDetail(found);
        setProblem(undefined);
      },
      (error: unknown) => setProblem(error instanceof Error ? error.message : String(error)),
    );
  }, [turn]);
  useEffect(() => {
    scrollTo(0, 0);
    const onKey = ({ key }: KeyboardEvent) => key === "Escape" && (location.hash = "#/");
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <nav>
        <a href="#/">← All identities</a>
      </nav>
      {problem !== undefined && (
        <p class="lost" role="alert">
          {problem}
        </p>
      )}
      {detail === undefined ? <p class="boot">Reading…</p> : <Detail detail={detail} now={now} />}
    </>
  );
}

function Detail({ detail, now }: { readonly detail: IdentityDetail; readonly now: number }) {
  const { row, status, conditions, chain, keyType, roots, leftOut, exposures, published, pods } = detail;
  const { rotations, command } = detail;
  return (
    <>
      <section class={`verdict ${row.level}`} role="status" aria-live="polite" aria-atomic="true">
        <Icon level={row.level} size={44} />
        <div>
          <h1>{row.key}</h1>
          <p>
            {row.level === "good"
              ? "All is well."
              : `${row.reason ?? "Not evaluated yet"}: ${words[row.level]}.`}{" "}
            <code>{row.spiffeId ?? "no SPIFFE ID yet"}</code> from {row.mesh}
          </p>
        </div>
      </section>
      <section class="card" aria-labelledby="life">
        <h2 id="life">Life of the leaf</h2>
        <LifeBar row={row} now={now} height={14} />
        {row.notBefore !== undefined && (
          <dl class="facts">
            <Fact name="issued">
              <When time={row.notBefore} now={now} />
            </Fact>
            <Fact name="renewal">
              <When time={row.renewal} now={now} />
            </Fact>
            <Fact name="end">
              <When time={row.notAfter} now={now} />
            </Fact>
            <Fact name="last rotation">
              <When time={status?.lastRotationTime} now={now} />
            </Fact>
            <Fact name="TLSContext">{published.tlsContext}</Fact>
            <Fact name="Secret">{published.secret}</Fact>
            <Fact name="CA Secret">{published.caSecret}</Fact>
            {published.crlSecret !== undefined && <Fact name="CRL Secret">{published.crlSecret}</Fact>}
            <Fact name="key">{keyType}</Fact>
          </dl>
        )}
        <Command text={command} />
      </section>
      <section aria-labelledby="conditions">
        <h2 id="conditions">Conditions</h2>
        <ul class="conditions card">
          {conditions.map(({ type, status: is, reason, message, level, lastTransitionTime }) => (
            <li key={type}>
              <Icon level={level} />
              <div>
                <b>{type}</b> {is === "True" ? "yes" : is === "False" ? "no" : "unknown"}
                <span class="tag">{reason}</span>
                <span class="muted">
                  {" "}
                  for <For time={lastTransitionTime} now={now} />
                </span>
                <p>{message}</p>
              </div>
            </li>
          ))}
        </ul>
      </section>
      <section aria-labelledby="chain">
        <h2 id="chain">Chain and roots</h2>
        <div class="card tree">
          {chain.length === 0 && <p class="muted">Nothing is published.</p>}
          {treeOf(chain, roots).map(({ one, role, depth, until, remark }) => (
            <Certificate
              key={`${role} ${one.fingerprint}`}
              one={one}
              now={now}
              role={role}
              depth={depth}
              until={until}
              remark={remark}
            />
          ))}
          {leftOut.map(({ fingerprint, reason, message }) => (
            <p key={fingerprint}>
              <b>left-out root</b> <code title={fingerprint}>{fingerprint.slice(0, 12)}</code>
              <span class="tag">{reason}</span> {message}
            </p>
          ))}
        </div>
      </section>
      <Uses detail={detail} />
      {exposures.length > 0 && (
        <ul class="problems">
          {exposures.map((one) => (
            <Consumer key={`${one.kind} ${one.namespace}/${one.name}`} one={one} />
          ))}
        </ul>
      )}
      {pods !== undefined && <Pods pods={pods} now={now} />}
      <Rotations known={rotations} now={now} />
    </>
  );
}

type Node = Pick<CertificateProps, "one" | "role" | "depth" | "until" | "remark">;

/** The root that has issued the chain, with the chain below it from the top down; then the other roots. */
function treeOf(chain: IdentityDetail["chain"], roots: IdentityDetail["roots"]): readonly Node[] {
  const issuer = roots.find((root) => root.isIssuer);
  const nodeOf = (root: IdentityDetail["roots"][number]): Node => ({
    ...{
      one: root,
      role: `${root.state} root`,
      depth: 0,
      until: root.retireAt,
      remark: root.remark?.message,
    },
  });
  const top = issuer === undefined ? [] : [nodeOf(issuer)];
  const issued = chain.toReversed().map((one, index): Node => {
    const role = index === chain.length - 1 ? "leaf" : "intermediate";
    return { one, role, depth: index + top.length };
  });
  return [...top, ...issued, ...roots.filter((root) => root !== issuer).map(nodeOf)];
}

function Fact({ name, children }: { readonly name: string; readonly children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

interface CertificateProps {
  readonly one: CertificateFacts;
  readonly now: number;
  readonly role: string;
  readonly depth: number;
  readonly until?: string | undefined;
  readonly remark?: string | undefined;
}

function Certificate({ one, now, role, depth, until, remark }: CertificateProps) {
  const { name, fingerprint, serialNumber, notBefore, notAfter } = one;
  const [start, end] = [Date.parse(notBefore) / 1_000, Date.parse(notAfter) / 1_000];
  return (
    <div class="certificate" style={{ marginLeft: `${depth * 22}px` }}>
      <div>
        {depth > 0 && <span aria-hidden="true">└ </span>}
        <b>{role}</b> <span class="subject">{name}</span>
      </div>
      <small>
        serial <code title={serialNumber}>{serialNumber.slice(-12)}</code>, SHA-256{" "}
        <code title={fingerprint}>{fingerprint.slice(0, 12)}</code>, ends <When time={notAfter} now={now} />
        {until !== undefined && (
          <>
            , removed <When time={until} now={now} />
          </>
        )}
      </small>
      <LifeBar row={{ notBefore: start, notAfter: end }} now={now} height={4} />
      {remark !== undefined && <p>{remark}</p>}
    </div>
  );
}

function Uses({ detail: { users, moreUsers } }: { readonly detail: IdentityDetail }) {
  return (
    <section aria-labelledby="uses">
      <h2 id="uses">Consumers</h2>
      {users.length === 0 && <p class="muted">No resource names the TLSContext.</p>}
      <ul class="uses">
        {users.map(({ kind, namespace, name, level, exposure, secret }) => (
          <li key={`${kind} ${namespace}/${name}`} class="tag">
            <Icon level={level} size={14} /> {kind} {namespace}/{name}
            {exposure !== undefined && ` (${exposure})`}
            {secret !== undefined && ` (names Secret ${secret})`}
          </li>
        ))}
        {moreUsers > 0 && <li class="muted">and {moreUsers} more</li>}
      </ul>
    </section>
  );
}

function Pods({ pods, now }: { readonly pods: readonly PodFacts[]; readonly now: number }) {
  return (
    <section aria-labelledby="pods">
      <h2 id="pods">Loaded by Emissary</h2>
      {pods.length === 0 && <p class="muted">No Emissary pod is known.</p>}
      {pods.map(({ emissary, pod, level, text, clusters }) => (
        <div key={`${emissary} ${pod}`} class="card pod">
          <h3>
            <Icon level={level} /> {pod}{" "}
            <span class="muted">
              {emissary}, {text}
            </span>
          </h3>
          <table>
            <thead>
              <tr>
                <th scope="col">cluster</th>
                <th scope="col">has loaded</th>
                <th scope="col">consumers</th>
              </tr>
            </thead>
            <tbody>
              {clusters.map((cluster) => (
                <tr key={cluster.name}>
                  <td>
                    <code>{cluster.name}</code>
                  </td>
                  <td>
                    <Icon level={cluster.level} size={14} /> {cluster.text}
                    {cluster.notAfter !== undefined && (
                      <span class="muted">
                        , ends <When time={cluster.notAfter} now={now} />
                      </span>
                    )}
                  </td>
                  <td>{cluster.consumers.join(", ")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ))}
    </section>
  );
}

interface RotationsProps {
  readonly known: readonly Rotation[];
  readonly now: number;
}

/** The time from the first rotation until now, with a mark for each. */
function Rotations({ known, now }: RotationsProps) {
  const start = Date.parse(known.at(-1)?.at ?? "") / 1_000;
  const length = Math.max(1, now - start);
  return (
    <section aria-labelledby="rotations">
      <h2 id="rotations">Rotations</h2>
      {known.length === 0 ? (
        <p class="muted">None yet.</p>
      ) : (
        <div class="card">
          <svg
            class="timeline"
            viewBox="0 0 1000 28"
            height="28"
            preserveAspectRatio="none"
            role="img"
            aria-label={`${known.length} rotations in ${span(length)}`}
          >
            <line x1="0" x2="1000" y1="14" y2="14" class="track" />
            {known.map(({ at, cause }) => {
              const x = (1_000 * (Date.parse(at) / 1_000 - start)) / length;
              return <line key={at} x1={x} x2={x} y1="4" y2="24" class={`mark ${cause}`} />;
            })}
          </svg>
          <p class="ends muted" aria-hidden="true">
            <span>{span(length)} ago</span>
            <span>now</span>
          </p>
          <ol class="rotations">
            {known.slice(0, 10).map(({ at, cause }) => (
              <li key={at}>
                <When time={at} now={now} /> <span class="tag">{cause}</span>
              </li>
            ))}
          </ol>
        </div>
      )}
    </section>
  );
}
