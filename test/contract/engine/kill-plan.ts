import type { Plan } from "../../../pipelines/step.ts";
import { output, planOf, scriptStep } from "./fixture.ts";

/** Trees and files, in a chain and side by side; each step is slow enough to be killed inside. `salt` makes it unlike any earlier plan. */
export function killPlan(salt: string): Plan {
  const makeTree = `mkdir -p /out/tree/d; for i in 1 2 3 4 5 6 7 8; do echo ${salt} $i > /out/tree/d/$i; done; sleep 0.05; ln -s d /out/tree/l`;
  return planOf([
    scriptStep("tree", makeTree, { made: ["tree/"] }),
    scriptStep("side", `echo ${salt} side > /out/result; sleep 0.1`),
    scriptStep("list", "sleep 0.05; cat /in/tree/d/* > /out/result", { inputs: { "/in/tree": output("tree", "tree") } }),
    scriptStep("copy", "cp -r /in/tree /out/tree; cp /in/side /out/side", {
      inputs: { "/in/tree": output("tree", "tree"), "/in/side": output("side") },
      made: ["tree/", "side"],
    }),
    scriptStep("join", "cat /in/list /in/side > /out/result", {
      inputs: { "/in/list": output("list"), "/in/side": output("copy", "side") },
    }),
  ]);
}
