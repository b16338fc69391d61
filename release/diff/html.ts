import type { DiffRow } from "./compare.ts";
import { type Fields, sections } from "./facts.ts";
import type { DiffReport, Side } from "./report.ts";

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid #d8dee4;overflow-wrap:anywhere}
code{font:13px ui-monospace,monospace}.added td:first-child{color:#1a7f37}.removed td:first-child{color:#cf222e}.changed td:first-child{color:#9a6700}
.warning{border:2px solid #cf222e;padding:.5rem 1rem}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}}`;

/** One page that loads nothing: no script, no address, and a policy that forbids both should an escape ever fail. */
export function diffHtml(report: DiffReport): string {
  const { added, removed, changed } = report.counts;
  const title = `${report.a.recipe} ${report.a.version} and ${report.b.recipe} ${report.b.version}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1>
${report.verified ? "<p>Both releases were verified.</p>" : '<p class="warning">Not verified: nobody vouches for what this page says.</p>'}
<table><tbody>${sideRow("A", report.a)}${sideRow("B", report.b)}</tbody></table>
<p>${report.rows.length === 0 ? "No differences." : `${added} added, ${removed} removed, ${changed} changed.`}</p>
${report.notCompared.map(({ section, reason }) => `<p>Not compared: ${escaped(section)} (${escaped(reason)}).</p>\n`).join("")}${sections
  .map((section) =>
    sectionHtml(
      section,
      report.rows.filter((row) => row.section === section),
    ),
  )
  .join("")}</body></html>
`;
}

const sideRow = (name: string, { dir, recipe, version, imageDigest }: Side) =>
  `<tr><th>${name}</th><td>${escaped(`${recipe} ${version}`)}</td><td>${escaped(dir)}</td><td><code>${escaped(imageDigest)}</code></td></tr>`;

function sectionHtml(section: string, rows: readonly DiffRow[]): string {
  if (rows.length === 0) return "";
  const body = rows.map(
    ({ change, item, before, after }) =>
      `<tr class="${change}"><td>${change}</td><td><code>${escaped(item)}</code></td><td>${cell(before)}</td><td>${cell(after)}</td></tr>`,
  );
  return `<section><h2>${escaped(section)} (${rows.length})</h2><table><thead><tr><th>change</th><th>item</th><th>before</th><th>after</th></tr></thead>
<tbody>${body.join("\n")}</tbody></table></section>\n`;
}

const cell = (fields: Fields | null) =>
  Object.entries(fields ?? {})
    .map(([name, value]) => `${escaped(name)} <code>${escaped(value)}</code>`)
    .join("<br>");

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** HTML Living Standard §13.2: these five are enough in text and in quoted attributes; control and direction characters are shown as "?". */
const escaped = (text: string) =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}]/gu, "?").replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
