import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { sha256 } from "@secai/formats/digest";
import { test } from "vitest";
import { modulesSteps, nvidiaOpen } from "./modules.ts";

const steps = modulesSteps({
  source: nvidiaOpen("550.163.01-2"),
  dbCertificate: { kind: "text", content: "certificate" },
  dbKey: { name: "db.key", identity: sha256("certificate") },
  sourceDateEpoch: 1,
});
const [build, sign] = steps;

test("compiling sees neither key nor image, so that no change of those compiles again", () => {
  assert.deepEqual(build?.secrets, {});
  const seen = Object.values(build?.inputs ?? {}).filter(({ kind }) => kind === "output" || kind === "fetched");
  assert.deepEqual(seen, []);
});

test("signing is the one step with the key, and takes what was compiled and the image's kernel", () => {
  assert.deepEqual(Object.values(sign?.secrets ?? {}), [{ name: "db.key", identity: sha256("certificate") }]);
  const inputs = Object.values(sign?.inputs ?? {}).flatMap((input) =>
    input.kind === "output" ? [`${input.step}.${input.output}`] : [],
  );
  assert.deepEqual(inputs.sort(), ["modules.build.built", "root.image.root"]);
  assert.deepEqual(Object.keys(sign?.outputs ?? {}), ["tree", "modules"]);
});

test("both run on the locked tool root, and the patches of the source are in the repository", () => {
  for (const step of steps) assert.deepEqual(step.tools, { kind: "output", step: "root.modules", output: "root" });
  for (const { inputs } of steps)
    for (const input of Object.values(inputs))
      if (input.kind === "source") assert.ok(existsSync(new URL(`../../${input.path}`, import.meta.url)), input.path);
});
