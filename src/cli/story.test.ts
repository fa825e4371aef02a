import { describe, expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { condition, consoleIdentity } from "../../test/fixtures/console.ts";
import type { Status } from "../api/status.ts";
import { Commands } from "../console/commands.ts";
import { detailOf } from "../console/detail.ts";
import { rowAt } from "../console/snapshots.ts";
import type { Certificate } from "../credentials/certificate.ts";
import { consumerOf } from "../emissary/consumer.ts";
import { ingressAsUser } from "../emissary/secret-users.ts";
import { tlsContextOf } from "../emissary/tls-context.ts";
import { createAuthority } from "../mesh/development/authority.ts";
import { lifeBar, type Story, storyText } from "./story.ts";

const day = 86_400_000;
const start = new Date("2026-01-01T00:00:00.000Z");
const at = (days: number) => new Date(start.getTime() + days * day);
const commands = new Commands({ isCluster: true });

describe("a life bar", () => {
  const life = { start, end: at(10), renewal: at(6) };

  it.each([
    ["in the middle", at(3), "[===N..R...]"],
    ["at the begin", start, "[N.....R...]"],
    ["at the renewal", at(6), "[======N...]"],
    ["after the renewal", at(8), "[======R=N.]"],
    ["after the end", at(11), "[======R===]N"],
    ["before the begin", at(-1), "N[......R...]"],
  ])("shows what has passed, now and the renewal, %s", (_, now, bar) => {
    expect(lifeBar(life, now, 10)).toBe(bar);
  });

  it("does without a renewal, and with one that is not within the life", () => {
    expect(lifeBar({ start, end: at(10) }, at(3), 10)).toBe("[===N......]");
    expect(lifeBar({ ...life, renewal: at(20) }, at(3), 10)).toBe("[===N......]");
    expect(lifeBar({ start, end: start }, at(3), 10)).toBe("[==========]N");
  });
});

interface Shown {
  readonly story?: Partial<Story>;
  /** By the published roots. */
  readonly status?: (roots: readonly Certificate[]) => Partial<Status>;
}

async function tell({ story = {}, status = () => ({}) }: Shown = {}) {
  const clock = manualClock(start);
  const authority = await createAuthority({ clock, trustDomain: "example.org", leafLifetimeMs: 10 * day });
  const { chain } = await authority.issue({ uri: "spiffe://example.org/storefront" });
  await authority.rotateRoot();
  const bundle = authority.roots().map(({ certificate }) => certificate);
  const one = consoleIdentity("storefront", {
    notBefore: start.toISOString(),
    renewalTime: at(6).toISOString(),
    notAfter: at(10).toISOString(),
    ...status(bundle),
  });
  const whole = { ...one, certificates: { chain, bundle } };
  const shown: Story = {
    ...detailOf(rowAt(whole, at(3)), whole, { commands }),
    attache: [{ name: "attaché", status: "ok", message: "works: attache-0 leads" }],
    missing: [],
    ...story,
  };
  return { whole, text: storyText(shown, { now: at(3), isWide: false }) };
}

describe("the story of an identity", () => {
  it("fits into 80 columns, but for sentences", async () => {
    const { text } = await tell();
    const tooLong = text.split("\n").filter((line) => line.length > 80);
    expect(tooLong).toEqual([]);
  });

  it("tells state, key, life, names, certificates and conditions", async () => {
    const { text } = await tell();
    for (const line of [
      /^attaché {5}works: attache-0 leads$/m,
      /^state {7}all is well$/m,
      /^key {9}EC P-256$/m,
      /^\[={18}N\.{17}R\.{23}\] {2}N now, R renewal$/m,
      /^end {9}in 7 d {6}2026-01-11T00:00:00Z$/m,
      /^CA Secret {3}emissary\/storefront-mesh-ca$/m,
      /^leaf +\[.*\] +in 7 d +[0-9a-f]{8} +spiffe:\/\/example.org\/storefront$/m,
      /^root +\[N\.+\] +in \d+ d /m,
      /^Ready +yes +Good +3 d ago$/m,
      /^Nothing names the TLSContext or the Secrets\.$/m,
    ])
      expect(text).toMatch(line);
  });

  it("says of each root why it is there, or is not", async () => {
    const retireAt = at(4).toISOString();
    const odd = { reason: "UnreadableByEmissary", message: "Emissary cannot read it." } as const;
    const bad = { reason: "UnreadableByEnvoy", message: "Envoy cannot read it." } as const;
    const { text, whole } = await tell({
      status: (roots) => ({
        roots: roots.map(({ fingerprint, notAfter }, index) => ({
          ...{ fingerprint, notAfter: notAfter.toISOString() },
          ...(index === 0 ? { state: "active" } : { state: "retiring", retireAt }),
        })),
        rootProblems: [
          { ...odd, fingerprint: roots[0]?.fingerprint ?? "" },
          { ...bad, fingerprint: "ff".repeat(32) },
        ],
      }),
    });
    const [first = "", second = ""] = whole.certificates.bundle.map(({ fingerprint }) =>
      fingerprint.slice(0, 8),
    );
    expect(text).toContain(`${second} is retiring: the mesh no longer lists it. It stays until ${retireAt}.`);
    expect(text).toContain(`${first} UnreadableByEmissary: Emissary cannot read it.`);
    expect(text).toContain("ffffffff is left out, UnreadableByEnvoy: Envoy cannot read it.");
    expect(text).toMatch(/^retiring root +\[/m);
    expect(text).toMatch(/^state +needs attention \(Root: UnreadableByEmissary, Root: UnreadableByEnvoy\)$/m);
  });

  it("names all users, also those of the Secrets, and says how each is exposed", async () => {
    const { whole } = await tell();
    const mapping = (name: string, context: string) =>
      consumerOf("Mapping", {
        metadata: { namespace: "shop", name },
        spec: { tls: context, service: "https://upstream" },
      });
    const consumers = ["plain", "safe"].map((name) => mapping(name, "storefront"));
    const [plain, safe, foreign] = [...consumers, mapping("foreign", "other")];
    if (plain === undefined || safe === undefined || foreign === undefined) throw new Error("no consumer");
    const secretName = "storefront-mesh-cert";
    const ingress = ingressAsUser({
      metadata: { namespace: "emissary", name: "front" },
      spec: { ingressClassName: "emissary", tls: [{ secretName }] },
    });
    if (ingress === undefined) throw new Error("no user");
    const detail = detailOf(rowAt(whole, at(3)), whole, {
      commands,
      consumers: [plain, safe, foreign],
      exposures: [
        { consumer: plain, severity: "plaintext", reason: "ContextMissing", message: "It is not there." },
      ],
      secretUsers: [
        ingress,
        tlsContextOf({
          metadata: { namespace: "shop", name: "thief" },
          spec: { secret: `${secretName}.emissary` },
        }),
        tlsContextOf({
          metadata: { namespace: "emissary", name: "storefront" },
          spec: { secret: secretName },
        }),
      ],
    });
    const text = storyText({ ...detail, attache: [], missing: [] }, { now: at(3), isWide: false });
    expect(text.slice(text.indexOf("USED BY"), text.indexOf("\n\nCONDITIONS")).split("\n")).toEqual([
      "USED BY",
      "Mapping shop/plain  PLAINTEXT",
      "  It is not there.",
      "Mapping shop/safe  protected",
      "Ingress emissary/front  names Secret storefront-mesh-cert",
      "TLSContext shop/thief  names Secret storefront-mesh-cert, FROM ANOTHER NAMESPACE",
    ]);
  });

  it("gives the next step of what is wrong, and lists the past, the newest first", async () => {
    const conditions = [
      condition("Ready"),
      condition("Protected", { status: "False", reason: "Plaintext", message: "Look at it." }),
    ];
    const past = { isWarning: true, reason: "Unreachable", note: "No answer.", count: 3 };
    const { text } = await tell({
      status: () => ({ conditions, lastRotationTime: at(1).toISOString() }),
      story: {
        events: [{ ...past, at: at(2).toISOString() }],
        renewRequested: at(2.9).toISOString(),
        objects: ["Secret storefront-mesh-cert", "TLSContext storefront"],
        missing: ["Events: you may not list them"],
      },
    });
    expect(text).toContain("state       ACT NOW (Protected: Plaintext)");
    expect(text).toMatch(/^Protected +NO +Plaintext +3 d ago\n {2}Look at it\.\n {2}→ attache status --map/m);
    expect(text).toContain("requested   a renewal, 2 h ago");
    expect(text).toContain("CA Secret   emissary/storefront-mesh-ca  MISSING");
    expect(text).toMatch(/^HISTORY\n24 h ago +! Unreachable \(3 times\): No answer\.\n2 d ago +Rotation$/m);
    expect(text).toMatch(/^NOT SHOWN\nEvents: you may not list them$/m);
  });

  it("of which attaché knows nothing yet says so", () => {
    const one = { ...consoleIdentity("new"), status: undefined, hasLooked: false };
    const detail = detailOf(rowAt(one, start), one, { commands });
    const text = storyText({ ...detail, attache: [], missing: [] }, { now: start, isWide: false });
    expect(text).toContain("Nothing is published.");
    expect(text).toContain("No attaché has looked at it yet.");
  });
});
