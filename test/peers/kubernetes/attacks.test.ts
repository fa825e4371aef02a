import { describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { longWait, Stage } from "./stage.ts";

/** What a user tries who may create MeshCertificates in one namespace, against what is in another one. */
describe("a user with one namespace", () => {
  it("gets only what the settings allow it, and no key by any way", async () => {
    await using stage = await Stage.open();
    const { namespace, other, signer, cluster } = stage;
    const [victim = ""] = stage.names;
    const [own, stolen, named] = [`${other}-own`, `${other}-stolen`, `${other}-named`];
    const attache = await stage.start();
    await stage.untilReady();
    const before = JSON.stringify(await stage.objects([namespace]));

    // Without rules: nothing at all.
    await stage.create(own, {}, other);
    await stage.create(stolen, { plugin: { service: victim } }, other);
    const message = await stage.until("SourceReady", "False/NotAllowed", own, other);
    await stage.until("SourceReady", "False/NotAllowed", stolen, other);
    expect(signer.asked).toHaveLength(3);

    // With the rule that the refusal shows: that, and nothing else.
    const shown = parse(/- \{.*\}/.exec(message)?.[0] ?? "") as object[];
    const mine = { namespaces: [namespace], mesh: "*", spiffeIds: ["spiffe://**"], tlsContexts: ["*"] };
    await attache.configure(stage.settings({ allow: [...shown, mine] }));
    await stage.until("Ready", "True/Valid", own, other);
    await stage.until("SourceReady", "False/NotAllowed", stolen, other);
    await stage.create(named, { target: { tlsContext: { name: victim } } }, other);
    await stage.until("SourceReady", "False/NotAllowed", named, other);
    expect(signer.asked.toSorted()).toEqual([...stage.names, own].toSorted());

    // With too wide a rule it is still not another user's context that is overwritten, nor a Secret.
    const wide = { namespaces: ["*"], mesh: "*", spiffeIds: ["spiffe://**"], tlsContexts: ["*"] };
    const secret = { metadata: { name: "somebodys" }, data: { "tls.key": btoa("theirs") } };
    await cluster.admin.create(`/api/v1/namespaces/${other}/secrets`, secret);
    await stage.create(`${other}-over`, { target: { secret: "somebodys" } }, other);
    await attache.configure(stage.settings({ allow: [wide] }));
    await stage.until("Published", "False/TargetTaken", named, other);
    await stage.until("Published", "False/TargetTaken", `${other}-over`, other);
    const kept = await cluster.admin.get(`/api/v1/namespaces/${other}/secrets/somebodys`);
    expect(kept["data"]).toEqual(secret.data);
    expect(JSON.stringify(await stage.objects([namespace]))).toBe(before);

    // No key is anywhere but in the Secrets that are for it.
    const objects = await stage.objects();
    const keys = objects.flatMap(({ object }) => {
      const { "tls.key": key = "" } = (object["data"] ?? {}) as Record<string, string>;
      return atob(key).includes("PRIVATE KEY") ? [key] : [];
    });
    expect(keys.length).toBeGreaterThanOrEqual(4);
    const events = await vi.waitFor(async () => {
      const found = await stage.events();
      expect(found.length).toBeGreaterThan(3);
      return found;
    }, longWait);
    const texts = [...objects, ...events].map(({ object: { data: _, ...rest } }) => JSON.stringify(rest));
    const [, ...lines] = keys.flatMap((key) => [key.slice(60, 120), ...atob(key).split("\n")]);
    const secrets = lines.filter((line) => line.length > 40);
    for (const text of [...texts, attache.output()]) {
      expect(secrets.filter((line) => text.includes(line))).toEqual([]);
      expect(text).not.toContain("PRIVATE KEY");
    }
  });
});
