import { defineConfig } from "vitest/config";

// Two workers: the machines that run this have two cores, and contract tests start programs of their own.
const shared = { pool: "forks", globals: false, restoreMocks: true, unstubEnvs: true } as const;

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          ...shared,
          name: "unit",
          include: ["{attest,pipelines,release,scripts,services-src,test}/**/*.test.ts"],
          exclude: ["**/node_modules/**", "test/contract/**"],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          ...shared,
          name: "contract",
          include: ["test/contract/**/*.test.ts"],
          exclude: ["**/node_modules/**"],
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
