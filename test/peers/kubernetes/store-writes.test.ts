import { cluster } from "./cluster.ts";
import { describeWrites } from "./store-writes.ts";

describeWrites(cluster);
