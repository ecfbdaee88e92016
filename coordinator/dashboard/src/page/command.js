// What people command: a button sends it, and says what has come of it.

import { count, element } from "./text.js";

async function send(command) {
  const headers = { accept: "application/json", "content-type": "application/json" };
  const response = await fetch("api/v1/commands", { method: "POST", headers, body: JSON.stringify(command) });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(answer?.error?.message ?? `status ${response.status}`);
  document.dispatchEvent(new Event("commanded"));
  return answer;
}

function told({ retried, drained }) {
  if (drained) return "told to leave";
  const rest = retried.left_out > 0 ? `; ${retried.left_out} that diverged would diverge again` : "";
  return `${count(retried.trials, "trial")} tried again${rest}`;
}

/** A button for a command. `question`: what is asked before something that cannot be taken back. */
export function commandButton(text, command, question = null) {
  const said = element("span", { class: "quiet", role: "status" });
  const button = element("button", { type: "button" }, text);
  button.addEventListener("click", async () => {
    if (question && !confirm(question)) return;
    button.disabled = true;
    try {
      said.textContent = told(await send(command));
    } catch (error) {
      button.disabled = false;
      said.textContent = error.message;
    }
  });
  return element("span", { class: "command" }, button, said);
}
