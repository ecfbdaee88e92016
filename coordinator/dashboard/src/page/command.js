// Commands of people: a button sends one, and shows the result.

import { count, element } from "./text.js";

async function send(command) {
  const headers = { accept: "application/json", "content-type": "application/json" };
  const response = await fetch("api/v1/commands", { method: "POST", headers, body: JSON.stringify(command) });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(answer?.error?.message ?? `status ${response.status}`);
  document.dispatchEvent(new Event("commanded"));
  return answer;
}

function result({ retried, drained }) {
  if (drained) return "draining";
  const rest = retried.left_out > 0 ? `; ${retried.left_out} diverged and would diverge again` : "";
  return `${count(retried.trials, "trial")} retried${rest}`;
}

/** A button for a command. `question` is asked before a command that cannot be taken back. */
export function commandButton(text, command, question = null) {
  const status = element("span", { class: "quiet", role: "status" });
  const button = element("button", { type: "button" }, text);
  button.addEventListener("click", async () => {
    if (question && !confirm(question)) return;
    button.disabled = true;
    try {
      status.textContent = result(await send(command));
    } catch (error) {
      button.disabled = false;
      status.textContent = error.message;
    }
  });
  return element("span", { class: "command" }, button, status);
}
