import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { describeDrift } from "../../../test/peers/kubernetes/store-drift.ts";

describeDrift(() => Promise.resolve(fakeCluster()));
