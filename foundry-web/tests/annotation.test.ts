import { expect, it } from "vitest";
import { readOpinion } from "../src/annotation.ts";

it("an annotation's document becomes lines, with what each claim cites", () => {
  const note = JSON.stringify({
    summary: "A shell.",
    purpose: "runs commands",
    capabilities: [{ name: "shell", evidence: ["needed", "interp"] }, { name: "terminal", evidence: [] }, 7],
    risk: "review",
    risk_reasons: [{ reason: "set-id", evidence: ["mode"] }],
    confidence: 0.724,
    model: "small-1",
    content: "abc",
  });
  const opinion = readOpinion(note, "abd");
  expect(opinion.summary).toBe("A shell.");
  expect(Object.fromEntries(opinion.lines)).toEqual({ purpose: "runs commands", can: "shell (needed, interp); terminal", risk: "review: set-id (mode)", sure: "72 %", model: "small-1" });
  expect(opinion.stale).toBe(true);
  expect(readOpinion(note, "abc").stale).toBe(false);
});

it("anything else is the text that it is", () => {
  for (const note of ["plain words", "{\"a\":1}", "[1]", "null", "{broken", ""]) {
    expect(readOpinion(note, null)).toEqual({ summary: note, lines: [], stale: false });
  }
});
