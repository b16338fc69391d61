import { output, planOf, scriptStep } from "./fixture.ts";

const make = `mkdir -p /out/tree/private; cd /out/tree; echo x > private/f; echo y > shared; chown 42:43 private; chown 1000:1000 shared
chmod 600 private/f shared; chmod 700 private; chmod u+s shared; ls -ln /in /out > /tmp/list`;

/** A tree with several owners and modes that only they could read: what a root file system has. */
export const ownersPlan = planOf([
  scriptStep("make", make, { made: ["tree/"], privileges: "tree", inputs: { "/in/t": { kind: "text", content: "" } } }),
  scriptStep(
    "use",
    "cd /in/tree; stat -c '%n %u:%g %a' private private/f shared > /out/result; cat private/f | tee /kept/f >> /out/result",
    {
      privileges: "tree",
      caches: { "/kept": { name: "kept" } },
      inputs: { "/in/tree": output("make", "tree") },
    },
  ),
]);
