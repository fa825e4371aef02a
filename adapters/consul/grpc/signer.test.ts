import { expect, it, vi } from "vitest";
import { LatestValue, systemClock } from "../../../src/mesh/adapter.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { AclToken } from "../token.ts";
import { openServerChannel } from "./channel.ts";
import { Session } from "./session.ts";
import { Signer } from "./signer.ts";

it("makes no CSR before there is a connection, and then no more than may be sent at once", async () => {
  const over = new AbortController();
  const { signal } = over;
  const acl = new AclToken({ kind: "none" }, systemClock);
  const sessions = new LatestValue<Session | undefined>();
  const logger = createLogger("error");
  using signer = new Signer({
    ...{ sessions, acl, logger, clock: systemClock },
    csrMaxPerSecond: 1_000,
    serviceAccountLogin: undefined,
  });
  const csr = vi.fn(() => new Promise<string>(() => undefined));
  const bearer = { serviceAccountToken: () => Promise.reject(new Error("no call needs a token")) };
  const signing = { csr, bearer, neededBy: new Date(), serviceAccount: undefined, signal };
  const all = Array.from({ length: 60 }, () => signer.sign(signing));
  await new Promise(setImmediate);
  expect(csr).not.toHaveBeenCalled();

  const server = { host: "127.0.0.1", port: 9, name: undefined, isStandIn: false };
  const client = openServerChannel(server, undefined);
  using session = new Session({ server, client, acl, clock: systemClock, isReplaceable: false, signal });
  sessions.publish(session);
  await vi.waitFor(() => expect(csr).toHaveBeenCalledTimes(25));
  over.abort(new Error("enough"));
  await Promise.allSettled(all.slice(25));
  expect(csr).toHaveBeenCalledTimes(25);
});
