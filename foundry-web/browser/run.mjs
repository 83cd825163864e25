// The map in a real browser: `node browser/run.mjs PROGRAM [SCREENSHOT]`
//
// Knows: which tests there are. Must never know: what they test.
// Keeps: the last line counts what passed and what failed.
import assert from "node:assert/strict";
import path from "node:path";
import { controlTests } from "./controls.mjs";
import { makeTree, startDaemon } from "./daemon.mjs";
import { elsewhereTests } from "./elsewhere.mjs";
import { floodTests } from "./flood.mjs";
import { mapTests } from "./map.mjs";
import { memoryTests } from "./memory.mjs";
import { launch, open } from "./page.mjs";
import { truthTests } from "./truth.mjs";

const [program, screenshot] = process.argv.slice(2);
assert.ok(program, "give the path of foundry-user");

const place = makeTree();
const browser = await launch();
const { page, complaints } = await open(browser);
const t = { program: path.resolve(program), place, browser, page, complaints, say: (text) => console.log(`   ${text}`) };
t.daemon = await startDaemon(t.program, place);

/** Only tests whose names hold this, after the first. */
const only = process.env.FOUNDRY_ONLY ?? "";
let [passed, failed] = [0, 0];
for (const [name, test] of Object.entries({ ...mapTests(t), ...controlTests(t), ...elsewhereTests(t), ...memoryTests(t), ...truthTests(t), ...floodTests(t) })) {
  if (passed > 0 && !name.includes(only)) continue;
  const begun = Date.now();
  try {
    await test();
    passed++;
    console.log(`ok ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}\n${error.stack}`);
    // Without the first nothing else can be seen.
    if (passed === 0) break;
  }
}
if (screenshot) await page.screenshot({ path: screenshot });
await browser.close();
await t.daemon.stop();
if (failed === 0) place.remove();
else console.log(`what was left is in ${place.dir}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
