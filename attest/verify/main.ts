// The verifier as one file: it ships in every release and in every image, and needs Node 20 and nothing else.
//   node secai-verify.mjs release DIR --key release.pub
import { runVerify } from "./command.ts";
import { prepareMlDsa } from "./ml-dsa.ts";

await prepareMlDsa();
process.exitCode = await runVerify(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  env: process.env,
  colour: process.stdout.isTTY === true && (process.env.NO_COLOR ?? "") === "",
});
