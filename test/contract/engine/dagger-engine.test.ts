import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { daggerEngine, sessionEnv } from "./dagger-engine.ts";
import { type DaggerServer, startDaggerServer } from "./dagger-server/server.ts";
import { engineContract } from "./engine-contract.ts";
import { makeHostTools } from "./host-tools.ts";

/** With SECAI_DAGGER=1 the very same suite runs against the engine that the environment names, see docs/guides/scale-out.md. */
const real = process.env.SECAI_DAGGER === "1";

let place = "";
let server: DaggerServer | undefined;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "secai-host-tools-"));
  await makeHostTools(place);
  if (!real) server = await startDaggerServer();
});
afterAll(async () => {
  await server?.close();
  await rm(place, { recursive: true, force: true });
});

engineContract(real ? "dagger (real)" : "dagger (loopback session)", (workspace, parallelism) =>
  daggerEngine(workspace, {
    env: server === undefined ? process.env : sessionEnv(server),
    hostToolsPath: place,
    ...(parallelism === undefined ? {} : { parallelism }),
  }),
);

test.skipIf(real)("every query was valid in the published schema", () => {
  expect(server?.queries.length).toBeGreaterThan(0);
  expect(server?.invalid).toEqual([]);
});
