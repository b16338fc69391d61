// `errors-doc.ts [--write]`: prints docs/errors.md as the catalogues in the code would have it, or writes it.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { cataloguePage, findCatalogues } from "./house/catalogues.ts";
import { top } from "./house/tree.ts";

const page = cataloguePage(await findCatalogues());
if (process.argv[2] === "--write") writeFileSync(join(top, "docs/errors.md"), page);
else process.stdout.write(page);
