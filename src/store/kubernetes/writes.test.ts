import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { describeWrites } from "../../../test/peers/kubernetes/store-writes.ts";

describeWrites(() => Promise.resolve(fakeCluster()));
