import { VerifyFormatError } from "./format-errors.ts";
import type { SbomComponent } from "./sbom-document.ts";
import { xmlTokens } from "./xml.ts";

interface Open {
  readonly element: string;
  text: string;
  readonly algorithm?: string;
  readonly component?: { -readonly [K in keyof SbomComponent]: SbomComponent[K] };
}

/**
 * Every component of a CycloneDX XML document that describes contents: the subject and those in lists of components, but not the tools
 * that made it (https://cyclonedx.org/docs/1.6/xml/).
 * @throws VerifyFormatError XML_MALFORMED
 */
export function parseSbomXml(bytes: Uint8Array): readonly SbomComponent[] {
  const found: SbomComponent[] = [];
  const stack: Open[] = [];
  for (const token of xmlTokens(utf8(bytes))) {
    if (token.kind === "open") {
      const { name, attributes } = token;
      const ref = attributes["bom-ref"];
      const component =
        name === "component" && !stack.some(({ element }) => element === "tools")
          ? { type: attributes.type ?? "", name: "", ...(ref !== undefined && { ref }) }
          : undefined;
      if (component !== undefined) found.push(component);
      const { alg } = attributes;
      const opened: Open = {
        element: name,
        text: "",
        ...(alg !== undefined && { algorithm: alg }),
        ...(component !== undefined && { component }),
      };
      if (!token.empty) stack.push(opened);
    } else if (token.kind === "text") {
      const top = stack.at(-1);
      if (top !== undefined) top.text += token.text;
    } else finish(stack);
  }
  return found;
}

/** An element has closed: its text goes to the component that it belongs to. */
function finish(stack: Open[]): void {
  const closed = stack.pop();
  const parent = stack.at(-1);
  if (closed === undefined || parent === undefined) return;
  const { component } = parent;
  if (component !== undefined) {
    if (closed.element === "name") component.name = closed.text;
    else if (closed.element === "version") component.version = closed.text;
    else if (closed.element === "purl") component.purl = closed.text;
  }
  if (closed.element === "hash" && parent.element === "hashes" && closed.algorithm === "SHA-256") {
    const owner = stack.at(-2)?.component;
    if (owner !== undefined) owner.sha256 ??= closed.text;
  }
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new VerifyFormatError("XML_MALFORMED", { expected: "UTF-8", actual: "other bytes", cause });
  }
}
