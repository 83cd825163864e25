// A model's opinion, as lines for a person. It is data from a model: text, never markup, never a fact.
//
// Knows: the annotation's document. Must never know: elements.
// Keeps: anything gives lines; what is not such a document is shown as the text it is.

export interface Opinion {
  summary: string;
  lines: [name: string, value: string][];
  /** The annotation was made of another content than the brick shows now. */
  stale: boolean;
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Claims with the facts that they cite, as one line. */
function claims(list: unknown, name: string): string {
  if (!Array.isArray(list)) return "";
  const one = (claim: unknown): string => {
    if (typeof claim !== "object" || claim === null) return "";
    const fields = claim as Record<string, unknown>;
    const evidence = Array.isArray(fields["evidence"]) ? fields["evidence"].map(text).filter((e) => e !== "") : [];
    return text(fields[name]) + (evidence.length > 0 ? ` (${evidence.join(", ")})` : "");
  };
  return list.map(one).filter((line) => line !== "").join("; ");
}

export function readOpinion(note: string, blake3: string | null): Opinion {
  let document: unknown;
  try {
    document = JSON.parse(note);
  } catch {
    document = null;
  }
  if (typeof document !== "object" || document === null || !("summary" in document)) return { summary: note, lines: [], stale: false };
  const fields = document as Record<string, unknown>;
  const confidence = typeof fields["confidence"] === "number" ? `${Math.round(fields["confidence"] * 100)} %` : "";
  const of = text(fields["content"]);
  const lines: [string, string][] = [
    ["purpose", text(fields["purpose"])],
    ["category", text(fields["category"])],
    ["can", claims(fields["capabilities"], "name")],
    ["risk", [text(fields["risk"]), claims(fields["risk_reasons"], "reason")].filter((s) => s !== "").join(": ")],
    ["sure", confidence],
    ["model", text(fields["model"])],
  ];
  return { summary: text(fields["summary"]), lines: lines.filter(([, value]) => value !== ""), stale: of !== "" && blake3 !== null && of !== blake3 };
}
