import { cluster } from "./cluster.ts";
import { describeDrift } from "./store-drift.ts";

describeDrift(cluster);
