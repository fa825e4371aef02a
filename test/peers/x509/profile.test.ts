import { spawnSync } from "node:child_process";
import { X509Certificate, randomInt } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodePem } from "../../../src/credentials/pem.ts";
import { privateKeyPem } from "../../../src/credentials/keys.ts";
import { profileOf } from "../../../src/credentials/profile.ts";
import {
  boolean,
  explicit,
  extension,
  handMadeLeaf,
  handMadeRoot,
  type HandMade,
  implicit,
  leafExtensions,
  names,
  octetString,
  oid,
  sequence,
  set,
  tlv,
  uriName,
} from "../../fixtures/der.ts";
import { mutant, seeded } from "../../fixtures/der-mutants.ts";
import { oddCertificates } from "../../fixtures/odd-certificates.ts";
import { buildPeer } from "../build.ts";

/** A certificate as the programs behind attaché get it. */
interface Shown {
  readonly role: "leaf" | "authority";
  readonly der: Buffer;
  /** Of a leaf. */
  readonly key?: HandMade["key"];
}

describe("the profile, beside the real Envoy and Go's crypto/x509", () => {
  let folder: string;
  let envoy: string;
  let judge: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "attache-profile-"));
    envoy = `${await buildPeer("envoy")}/envoy`;
    judge = `${await buildPeer("x509")}/x509-judge`;
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("refuses what they refuse, and nothing else, of the hand-made", async () => {
    const shown = oddCertificates.map(({ role, made: { der, key } }): Shown => {
      return role === "leaf" ? { role, der, key } : { role, der };
    });
    const go = judgedByGo(shown);
    for (const [index, { what, role, refusedBy }] of oddCertificates.entries()) {
      const one = shown.slice(index, index + 1);
      const seen = [...((await isTakenByEnvoy(one)) ? [] : ["envoy"]), ...(go[index] === "ok" ? [] : ["go"])];
      expect(seen, `${role} with ${what}: ${go[index] ?? ""}`).toEqual(refusedBy);
    }
  });

  it(
    "refuses what they refuse, and nothing else, of 2,000 random mutants",
    { timeout: 300_000 },
    async () => {
      const seed = Number(process.env["ATTACHE_SEED"] ?? randomInt(2 ** 31));
      process.stderr.write(`ATTACHE_SEED=${seed}\n`);
      const shown = mutants(2_000, seeded(seed));
      const profiles = shown.map(({ der, role }) => profileOf(der, role));
      const go = judgedByGo(shown);
      const envoyRefuses = new Set<Shown>();
      await findRefused(
        shown.filter((_, index) => profiles[index]?.envoy === undefined),
        envoyRefuses,
      );
      for (const one of shown.filter((_, index) => profiles[index]?.envoy !== undefined)) {
        await findRefused([one], envoyRefuses);
      }
      const differences = shown.flatMap((one, index) => {
        const { envoy: forEnvoy, go: forGo } = profiles[index] ?? {};
        const isSame =
          (forEnvoy !== undefined) === envoyRefuses.has(one) &&
          ((forGo !== undefined) === (go[index] !== "ok") || stricter.has(forGo ?? ""));
        return isSame
          ? []
          : [{ profile: profiles[index], go: go[index], role: one.role, der: one.der.toString("hex") }];
      });
      expect(differences, `seed ${seed}`).toEqual([]);
    },
  );

  function judgedByGo(shown: readonly Shown[]): string[] {
    const input = shown.map(({ der }) => der.toString("base64")).join("\n");
    return spawnSync(judge, { input, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 })
      .stdout.trimEnd()
      .split("\n");
  }

  /** Halves what is not taken as a whole until it is known which of it is refused. */
  async function findRefused(shown: readonly Shown[], refused: Set<Shown>): Promise<void> {
    const size = shown.length > 64 ? 64 : Math.ceil(shown.length / 2);
    if (shown.length <= 64 && (shown.length === 0 || (await isTakenByEnvoy(shown)))) return;
    if (shown.length === 1) {
      for (const one of shown) refused.add(one);
      return;
    }
    await findRefused(shown.slice(0, size), refused);
    await findRefused(shown.slice(size), refused);
  }

  async function isTakenByEnvoy(shown: readonly Shown[]): Promise<boolean> {
    const file = join(folder, "envoy.json");
    await writeFile(file, JSON.stringify(configuration(shown)));
    const options = ["--mode", "validate", "-c", file, "--log-level", "off", "--disable-hot-restart"];
    return spawnSync(envoy, options, { timeout: 60_000 }).status === 0;
  }
});

/** Rules of the profile that are narrower than Go's own, as "A plain name" in docs/certificates.md says. */
const stricter = new Set(["a URI name that Go does not read"]);

function mutants(count: number, draw: (below: number) => number): Shown[] {
  const name = sequence(
    set(sequence(oid("2.5.4.6"), tlv(0x13, "DE"))),
    set(sequence(oid("2.5.4.3"), tlv(0x0c, "a root"))),
  );
  const root = handMadeRoot({
    issuer: name,
    subject: name,
    extensions: [
      extension("2.5.29.19", sequence(boolean()), boolean()),
      extension("2.5.29.14", octetString("0123456789abcdef")),
      extension("2.5.29.30", sequence(explicit(0, ...constraints)), boolean()),
      extension("2.5.29.32", sequence(sequence(oid("1.2.3.4")))),
      extension("2.5.29.36", sequence(implicit(0, Buffer.from([1])))),
    ],
  });
  const leaf = handMadeLeaf(root, {
    issuer: name,
    subject: name,
    extensions: Object.values({
      ...leafExtensions,
      names: names(
        uriName("spiffe://example.org/ns/default/sa/web"),
        implicit(2, "web.example.org"),
        implicit(7, Buffer.from([10, 0, 0, 1])),
      ),
      authority: extension("2.5.29.35", sequence(implicit(0, "0123456789abcdef"))),
      access: extension(
        "1.3.6.1.5.5.7.1.1",
        sequence(sequence(oid("1.3.6.1.5.5.7.48.1"), implicit(6, "http://ocsp.example.org"))),
      ),
    }),
  });
  const found: Shown[] = [];
  while (found.length < count) {
    const isLeaf = draw(2) === 0;
    const der = mutant(isLeaf ? leaf.der : root.der, draw);
    if (isReadByOpenSsl(der, isLeaf ? leaf.key : undefined)) {
      found.push(isLeaf ? { role: "leaf", der, key: leaf.key } : { role: "authority", der });
    }
  }
  return found;
}

const constraints = [
  implicit(2, "example.org"),
  implicit(6, ".example.org"),
  implicit(1, "example.org"),
  implicit(7, Buffer.from([10, 0, 0, 0, 255, 0, 0, 0])),
].map((base) => sequence(base));

/**
 * attaché sees nothing else: what OpenSSL cannot read, or whose key is another one, ends before the profile.
 */
function isReadByOpenSsl(der: Buffer, key: HandMade["key"] | undefined): boolean {
  try {
    const x509 = new X509Certificate(der);
    const hasDates = !Number.isNaN(x509.validFromDate.getTime() + x509.validToDate.getTime());
    return x509.raw.equals(der) && hasDates && (key === undefined || x509.checkPrivateKey(key));
  } catch {
    return false;
  }
}

/** A cluster for each certificate. */
function configuration(shown: readonly Shown[]): unknown {
  const clusters = shown.map(({ der, key }, index) => {
    const pem = encodePem("CERTIFICATE", der);
    return {
      name: `c${index}`,
      type: "STATIC",
      transport_socket: {
        name: "envoy.transport_sockets.tls",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
          common_tls_context:
            key === undefined
              ? { validation_context: { trusted_ca: { inline_string: pem } } }
              : {
                  tls_certificates: [
                    {
                      certificate_chain: { inline_string: pem },
                      private_key: { inline_string: privateKeyPem(key) },
                    },
                  ],
                },
        },
      },
    };
  });
  return { node: { id: "profile", cluster: "profile" }, static_resources: { clusters } };
}
