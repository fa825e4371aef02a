import type { Cause, ExposedConsumer, MeshSummary, Overview } from "../page-data.ts";
import { AnswerCard, Bars, Command, Icon } from "./parts.tsx";

/** The first view: whether all is well; if not, what is wrong, and what to do. */
export function OverviewView({ overview }: { readonly overview: Overview }) {
  const { verdict, answers, causes, moreCauses, consumers, moreConsumers, meshes } = overview;
  return (
    <>
      <section class={`verdict ${verdict.level}`} role="status" aria-live="polite" aria-atomic="true">
        <Icon level={verdict.level} size={44} />
        <div>
          <h1>{verdict.text}</h1>
          {verdict.detail !== undefined && <p>{verdict.detail}</p>}
        </div>
      </section>
      <section class="answers" aria-label="Three questions">
        <AnswerCard question="Does attaché work?" answer={answers.working} />
        <AnswerCard question="Is a consumer exposed?" answer={answers.exposed} />
        <AnswerCard question="Are all identities current?" answer={answers.current} />
      </section>
      {consumers.length > 0 && (
        <section aria-labelledby="exposed">
          <h2 id="exposed">Exposed consumers</h2>
          <ul class="problems">
            {consumers.map((one) => (
              <Consumer key={`${one.kind} ${one.namespace}/${one.name}`} one={one} />
            ))}
          </ul>
          <More count={moreConsumers} of="consumers: attache status --mappings lists all" />
        </section>
      )}
      {causes.length > 0 && (
        <section aria-labelledby="causes">
          <h2 id="causes">What is wrong</h2>
          <ul class="problems">
            {causes.map((cause) => (
              <CauseItem key={`${cause.mesh} ${cause.type} ${cause.reason} ${cause.message}`} cause={cause} />
            ))}
          </ul>
          <More count={moreCauses} of="causes, of fewer identities each" />
        </section>
      )}
      <section aria-labelledby="meshes">
        <h2 id="meshes">Meshes</h2>
        {meshes.length === 0 && <p class="muted">No mesh is configured.</p>}
        <ul class="meshes">
          {meshes.map((mesh) => (
            <Mesh key={mesh.name} mesh={mesh} />
          ))}
        </ul>
      </section>
    </>
  );
}

function CauseItem({ cause }: { readonly cause: Cause }) {
  const { level, type, reason, mesh, message, count, identities, command } = cause;
  return (
    <li class={`card problem ${level}`}>
      <Icon level={level} />
      <div>
        <h3>
          {count === 1 ? "1 identity" : `${count} identities`} of {mesh}
          <span class="tag">
            {type}: {reason}
          </span>
        </h3>
        <p>{message}</p>
        <p class="names">
          {identities.map((key) => (
            <a key={key} href={`#/${key}`}>
              {key}
            </a>
          ))}
          {count > identities.length && <span class="muted">and {count - identities.length} more</span>}
        </p>
        <Command text={command} />
      </div>
    </li>
  );
}

export function Consumer({ one }: { readonly one: ExposedConsumer }) {
  return (
    <li class="card problem alarm">
      <Icon level="alarm" />
      <div>
        <h3>
          {one.kind} {one.namespace}/{one.name}
          <span class="tag">{one.severity}</span>
        </h3>
        <p>{one.message}</p>
        <Command text={one.command} />
      </div>
    </li>
  );
}

function Mesh({
  mesh: { name, level, text, identities, ready, rotations, failures },
}: {
  readonly mesh: MeshSummary;
}) {
  return (
    <li class="card mesh">
      <div>
        <h3>
          <Icon level={level} /> {name}
        </h3>
        <p class={level === "good" ? "muted" : ""}>{text}</p>
      </div>
      <dl>
        <div>
          <dt>ready</dt>
          <dd>
            {ready} of {identities}
          </dd>
        </div>
        <div>
          <dt>rotations, 1 h</dt>
          <dd>
            <Bars values={rotations} label={`rotations of ${name} in the last hour`} />
          </dd>
        </div>
        <div>
          <dt>failures, 1 h</dt>
          <dd class="failures">
            <Bars values={failures} label={`failures of ${name} in the last hour`} />
          </dd>
        </div>
      </dl>
    </li>
  );
}

function More({ count, of }: { readonly count: number; readonly of: string }) {
  return count === 0 ? null : (
    <p class="muted">
      and {count} more {of}
    </p>
  );
}
