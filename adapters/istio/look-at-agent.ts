/** What to do about an agent that is there and gives nothing. */
export const lookAtAgent =
  "Look at the log of the agent (container istio-proxy), and whether it reaches istiod.";
