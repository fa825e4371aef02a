import { describe, expect, it } from "vitest";
import { conditions, identityState, stateWith } from "../../test/fixtures/state.ts";
import type { State } from "../telemetry/state.ts";
import { liveness, readiness } from "./probes.ts";

const error = { code: "ATTACHE_MESH_UNREACHABLE" } as const;
const unready = { status: { conditions: conditions({ Ready: "NotPublished", SourceReady: "Unreachable" }) } };
const notLookedAt = { status: undefined };

describe("liveness", () => {
  it("passes while the store is followed", () => {
    expect(liveness(stateWith())).toEqual({
      passes: true,
      lines: ["[+] event loop: answers", "[+] store: watched", "livez passed"],
    });
  });

  it("fails when it is not any more, and whatever is wrong besides is no reason", () => {
    expect(liveness(stateWith({ isRunning: false }))).toMatchObject({
      passes: false,
      lines: [expect.anything(), "[-] store: not watched", "livez failed"],
    });
    expect(
      liveness(
        stateWith({
          isSynced: false,
          meshes: [{ name: "consul", retainMs: 0, connection: { connected: false, error } }],
          identities: [identityState("a", unready)],
        }),
      ).passes,
    ).toBe(true);
  });
});

describe("readiness", () => {
  it("names the settings in force, and notes that newer ones were refused", () => {
    const settings = { digest: "3f9a", since: new Date("2026-01-01T00:00:00.000Z") };
    const inForce = "[!] settings: sha256:3f9a in force since 2026-01-01T00:00:00.000Z";
    expect(readiness(stateWith({ settings }), false).lines).toContain(inForce);
    const refused = { at: new Date("2026-01-01T01:00:00.000Z"), code: "ATTACHE_DOCUMENT_INVALID" } as const;
    const { passes, lines } = readiness(stateWith({ settings: { ...settings, refused } }), false);
    expect(lines).toContain(inForce);
    expect(lines).toContain(
      "[!] settings: refused at 2026-01-01T01:00:00.000Z, ATTACHE_DOCUMENT_INVALID; the old ones stay in force",
    );
    expect(passes).toBe(true);
  });

  it("passes for a replica that waits for its turn and has read the store", () => {
    const standby = { isLeader: false, lease: { holder: "attache-1" }, identities: [] };
    expect(readiness(stateWith(standby), false)).toMatchObject({ passes: true });
    expect(readiness(stateWith(standby), false).lines).toContain("[!] standby: attache-1 leads");
    expect(readiness(stateWith({ ...standby, isSynced: false }), false).passes).toBe(false);
  });

  it("fails for a replica that could never lead, until it was ready once", () => {
    const lease = { holder: "attache-1", error: { code: "ATTACHE_KUBERNETES_FORBIDDEN" } } as const;
    const standby = stateWith({ isLeader: false, identities: [], lease });
    expect(readiness(standby, false)).toMatchObject({ passes: false });
    expect(readiness(standby, false).lines).toContain("[-] lease: ATTACHE_KUBERNETES_FORBIDDEN");
    expect(readiness(standby, true).passes).toBe(true);
  });

  it("passes without a remark when all is well", () => {
    expect(readiness(stateWith(), false)).toEqual({
      passes: true,
      lines: ["[+] store: watched", "[+] store: read", "[+] identities: 1 of 1 evaluated", "readyz passed"],
    });
  });

  it.each<[string, Partial<State>, string]>([
    ["the store is not followed", { isRunning: false }, "[-] store: not watched"],
    ["the store is not read yet", { isSynced: false }, "[-] store: not read completely yet"],
    [
      "an identity was not evaluated yet",
      { identities: [identityState(), identityState("new", notLookedAt)] },
      "[-] identities: 1 of 2 evaluated",
    ],
  ])("fails when %s, and says so", (_what, changes, line) => {
    const finding = readiness(stateWith(changes), false);
    expect(finding.passes).toBe(false);
    expect(finding.lines).toContain(line);
    expect(finding.lines.at(-1)).toBe("readyz failed");
  });

  it.each<[string, Partial<State>, string]>([
    [
      "a mesh is unreachable",
      { meshes: [{ name: "consul", retainMs: 0, connection: { connected: false, error } }] },
      "[!] mesh consul: disconnected, ATTACHE_MESH_UNREACHABLE",
    ],
    [
      "a watch fails",
      { watches: [{ what: "secrets in namespace edge", state: "failing", forMs: 35_900, error }] },
      "[!] watch of secrets in namespace edge: failing for 35 s, ATTACHE_MESH_UNREACHABLE",
    ],
    [
      "the API server does not know a kind",
      { watches: [{ what: "mappings", state: "absent", forMs: 7_200_000 }] },
      "[!] watch of mappings: absent for 7200 s",
    ],
    [
      "nothing was heard of a mesh",
      { meshes: [{ name: "consul", retainMs: 0, connection: undefined }] },
      "[!] mesh consul: no response yet",
    ],
    [
      "an identity is not ready",
      { identities: [identityState("a", unready)] },
      "[!] identity emissary/a: Ready is False (NotPublished), SourceReady is False (Unreachable)",
    ],
  ])("passes when %s, and tells", (_what, changes, line) => {
    const finding = readiness(stateWith(changes), false);
    expect(finding.passes).toBe(true);
    expect(finding.lines).toContain(line);
  });

  it("stays when an identity comes that was not evaluated yet, but not when the store is not followed any more", () => {
    const later = stateWith({ identities: [identityState(), identityState("new", notLookedAt)] });
    expect(readiness(later, true).passes).toBe(true);
    expect(readiness(later, true).lines).toContain("[!] identity emissary/new: not evaluated yet");
    expect(readiness({ ...later, isRunning: false }, true).passes).toBe(false);
  });

  it("names twenty kinds that are not watched, and how many more there are", () => {
    const watches = Array.from({ length: 400 }, (_, index) => ({
      ...{ what: `hosts in namespace n${index}`, state: "failing" as const, forMs: 0 },
    }));
    const { lines } = readiness(stateWith({ watches }), false);
    expect(lines.filter((line) => line.startsWith("[!] watch of"))).toHaveLength(20);
    expect(lines).toContain("[!] 380 more kinds are not watched; see the log");
  });

  it("names twenty identities that are not ready, and how many more there are", () => {
    const identities = Array.from({ length: 10_000 }, (_, index) => identityState(`svc-${index}`, unready));
    const { lines } = readiness(stateWith({ identities }), false);
    expect(lines.filter((line) => line.startsWith("[!] identity"))).toHaveLength(20);
    expect(lines).toContain("[!] 9980 more identities are not ready; see attache status");
  });
});
