// Makes the base's packages those of the recipe: installs exactly the locked RPMs, removes what the recipe names, and nothing else happens.
// silverblue/packages --root DIR --rpms DIR --transaction FILE --out DIR --report FILE
//
// rpm is the tool root's. Packages' scripts run inside the root with the root's own interpreters, without network, in a file system that
// ends with this step; they are the distribution's, signed like the rest of the package. An interpreter that the root lacks is refused before
// anything is changed; a script that fails fails the step.
import { lstatSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { canonicalJson } from "@secai/formats/canonical-json";
import { SilverblueError } from "../../silverblue/errors.ts";
import { kernelOf } from "../../silverblue/kernel.ts";
import { withMounts } from "../../silverblue/mounts.ts";
import { normalise, removeFreshBytecode } from "../../silverblue/normalise.ts";
import {
  checkAbsent,
  checkInterpreters,
  checkNames,
  databaseOf,
  installAll,
  installed,
  ownedPaths,
  removeAll,
  tidyDatabase,
} from "../../silverblue/rpm.ts";
import { checkStore, checkTransaction, nameArch, nevra, parseTransaction } from "../../silverblue/transaction.ts";
import { readFlags, tool } from "../tool.ts";

const flag = readFlags(process.argv.slice(2));
const [base, store, root] = [flag("root"), flag("rpms"), flag("out")];
const transaction = parseTransaction(readFileSync(flag("transaction")));

/** The same packages give the same bytes: no free pages, nothing left in a write-ahead log. */
function compact(database: string): void {
  const file = join(root, database, "rpmdb.sqlite");
  if (lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true) return;
  const handle = new DatabaseSync(file);
  handle.exec("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);");
  handle.close();
}

await checkStore(store, transaction);
checkNames(store, transaction.install);
const database = databaseOf(base);
checkInterpreters(store, base, transaction.install);

tool("cp", ["-a", "--reflink=auto", base, root]);
const before = installed(root, database);
const stale = transaction.remove.find((name) => ![...before].some((one) => nameArch(one).replace(/\.[^.]+$/, "") === name));
if (stale !== undefined)
  throw new SilverblueError("TRANSACTION_DIFFERS", {
    expected: `${stale} in the base, as the recipe removes it`,
    actual: "not installed",
  });
withMounts(root, () => {
  installAll(root, database, store, transaction.install);
  removeAll(root, database, transaction.remove);
});
const after = installed(root, database);
checkTransaction(transaction, { before, after });
checkAbsent(root, database, transaction.remove, transaction.absentCommands);
removeFreshBytecode(root, base, ownedPaths(root, database));
normalise(root);
compact(database);
tidyDatabase(root, database);

const report = {
  schema: 1,
  database,
  kernel: kernelOf(root),
  before: before.size,
  after: after.size,
  installed: transaction.install.map((rpm) => ({ nevra: nevra(rpm), sha256: rpm.sha256 })),
  replaced: [...before]
    .filter((one) => !after.has(one) && !transaction.remove.includes(nameArch(one).replace(/\.[^.]+$/, "")))
    .sort(),
  removed: [...before].filter((one) => transaction.remove.includes(nameArch(one).replace(/\.[^.]+$/, ""))).sort(),
};
writeFileSync(flag("report"), `${canonicalJson(report)}\n`);
console.error(
  `${before.size} packages before, ${after.size} after: ${report.installed.length} locked, ${report.removed.length} removed`,
);
