// Starts the map, and lets tests look inside.

import "./style.css";
import { App } from "./app.ts";
import { testHook } from "./hook.ts";

const stage = document.getElementById("stage");
if (!stage) throw new Error("the page has no stage");
const app = new App(stage);
testHook(app);
app.start().catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  app.messages.say(`the map cannot be drawn here: ${text}. It needs WebGL 2.`, "error", 0);
});
