import type { CheckOutcome } from "./check.ts";
import type { Report } from "./report.ts";
import { factsOf, labelOf, printable, reasonOf } from "./report-text.ts";

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}
table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{border:1px solid #bbb;padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
.accepted,.pass{color:#06651f}.rejected,.fail{color:#a40000;font-weight:600}.undecided{color:#7a5200;font-weight:600}.not_present{color:#555}
@media (prefers-color-scheme:dark){body{color:#eee;background:#111}.accepted,.pass{color:#7ddc97}.rejected,.fail{color:#ff8f8f}.undecided{color:#ffcf70}.not_present{color:#aaa}}`;

/** The report as one page that loads nothing and runs nothing. What the target says is text, never markup. */
export function reportHtml(report: Report): string {
  const facts = factsOf(report).map(
    ([name, value]) => `<tr><th scope="row">${escaped(name)}</th><td>${escaped(value)}</td></tr>`,
  );
  const rows = report.checks.map(
    (outcome) =>
      `<tr><td class="${outcome.status}">${outcome.status.replace("_", " ")}</td><td>${escaped(labelOf(outcome))}</td><td>${escaped(said(outcome))}</td></tr>`,
  );
  const warnings = (report.warnings ?? []).map((warning) => `<p class="undecided">${escaped(warning)}</p>`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><title>${escaped(`${report.verdict}: ${report.target}`)}</title><style>${STYLE}</style></head>
<body><h1><span class="${report.verdict}">${report.verdict}</span> ${escaped(report.target)}</h1>
<table>${facts.join("\n")}</table>
${warnings.join("\n")}
<table><thead><tr><th>status</th><th>check</th><th>what was found</th></tr></thead><tbody>
${rows.join("\n")}
</tbody></table></body></html>
`;
}

const said = (outcome: CheckOutcome) => (outcome.status === "pass" ? outcome.title : reasonOf(outcome));

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (text: string) => printable(text).replace(/[&<>"']/g, (char) => ENTITIES[char] ?? "");
